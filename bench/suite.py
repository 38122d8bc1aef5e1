"""Playing a suite: against the same requests in a bare httpx loop, and against Gabbi and Tavern from their start.

Fifty requests, each with a status, a header, a JSONPath, a schema and a capture. The bare loop only sends and reads.
The other tools run in environments of their own, made in a temporary folder, and check what they can of the same (no
schemas). They start an interpreter each time; ours is played by a process that runs anyway, so that its start is the
reading and compiling of the suite.
"""

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from uv import find_uv_bin

from bench.figure import Figure, at_least, at_most, ratio, told
from reconciler.model.document import load
from reconciler.model.names import ReleaseId, ServiceName
from reconciler.model.suite.case import Suite
from reconciler.model.verdict import Verdict
from reconciler.suite.files import Files
from reconciler.suite.load import declared
from reconciler.suite.play import play
from reconciler.suite.target import Target
from tests.end_to_end.platform import free_port
from tests.waiting import until_sync

PAIRS = 25
ROUNDS = 15
PEER_ROUNDS = 5
PREFIX = "/api/tasks"
FOLDER = "services/tasks"
SERVICE = f"""
import socket, sys
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
tasks = {{}}

class New(BaseModel):
    title: str
    tags: list[str] = ["a", "b"]

class Task(New):
    id: int

@app.post("{PREFIX}/tasks", status_code=201)
async def create(task: New) -> Task:
    tasks[len(tasks) + 1] = Task(id=len(tasks) + 1, **task.model_dump())
    return tasks[len(tasks)]

@app.get("{PREFIX}/tasks/{{task_id}}")
async def read(task_id: int) -> Task:
    return tasks[task_id]

private = socket.socket(socket.AF_UNIX)
private.bind(sys.argv[1])
public = socket.socket()
public.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
public.bind(("127.0.0.1", int(sys.argv[2])))
uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[private, public])
"""
SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "title": {"type": "string"}, "tags": {"type": "array"}},
    "required": ["id", "title", "tags"],
    "additionalProperties": False,
}
PEERS = {"Gabbi": ("gabbi", "pytest<9"), "Tavern": ("tavern", "pytest>=8.4,<8.5")}

Play = Callable[[], Awaitable[None]]


def run() -> list[Figure]:
    folder = Path(tempfile.mkdtemp(prefix="bench-suite-"))
    try:
        with serving(folder) as (socket, port):
            suites, loops = asyncio.run(side_by_side(socket))
            peers = [figure for name in PEERS for figure in against(name, folder / name.lower(), socket, port)]
        return [
            at_most("suite of 50 cases ÷ the same in a bare httpx loop", ratio(suites, loops), 2),
            told("suite of 50 cases, median", statistics.median(suites) * 1000, "ms"),
            *peers,
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, int]]:
    """The service in a process of its own, on a private socket and on a port for those who need one."""
    (folder / "service.py").write_text(SERVICE)
    socket, port = folder / "h.sock", free_port()
    with subprocess.Popen([sys.executable, "service.py", str(socket), str(port)], cwd=folder) as server:
        try:
            until_sync(lambda: answers(port), within=30, what="the service")
            yield str(socket), port
        finally:
            server.kill()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/openapi.json", trust_env=False).is_success
    except httpx.TransportError:
        return False


async def side_by_side(socket: str) -> tuple[list[float], list[float]]:
    suites = read_suites()
    taken: dict[str, list[float]] = {"suite": [], "loop": []}
    for number in range(ROUNDS + 2):
        sides: list[tuple[str, Play]] = [("suite", lambda: played(suites, socket)), ("loop", lambda: looped(socket))]
        for name, side in sides if number % 2 else reversed(sides):
            begun = time.perf_counter()
            await side()
            taken[name].append(time.perf_counter() - begun)
    return taken["suite"][2:], taken["loop"][2:]


async def read_and_play(socket: str) -> None:
    await played(read_suites(), socket)


async def played(suites: tuple[Suite, ...], socket: str) -> None:
    report = await play(suites, Target(socket, PREFIX, ServiceName("tasks"), ReleaseId("tasks-1")))
    assert report.verdict is Verdict.PASSED, report.summary
    assert len(report.cases) == 2 * PAIRS


async def looped(socket: str) -> None:
    transport = httpx.AsyncHTTPTransport(uds=socket, verify=False)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://service{PREFIX}") as client:
        for number in range(PAIRS):
            created = (await client.post("/tasks", json={"title": f"Task {number}"})).json()
            (await client.get(f"/tasks/{created['id']}")).json()


def read_suites() -> tuple[Suite, ...]:
    content = {
        f"{FOLDER}/service.yaml": b"version: 1\n",
        f"{FOLDER}/tests.yaml": suite_text().encode(),
        f"{FOLDER}/task.json": json.dumps(SCHEMA).encode(),
    }
    manifest = load(content[f"{FOLDER}/service.yaml"], f"{FOLDER}/service.yaml")
    files = Files(FOLDER, frozenset(content), content.__getitem__)
    return declared(ServiceName("tasks"), None, files, manifest).suites


def suite_text() -> str:
    expect = '{{status: {}, headers: {{content-type: application/json}}, json: {{$.title: "{}"}}, schema: task.json}}'
    lines = ["version: 1", "cases:"]
    for number in range(PAIRS):
        title = f"Task {number}"
        lines += [
            f"  - name: create {number}",
            "    POST: /tasks",
            f'    json: {{title: "{title}"}}',
            f"    expect: {expect.format(201, title)}",
            "    capture: {id: $.id}",
            f"  - name: read {number}",
            "    GET: /tasks/${id}",
            f"    expect: {expect.format(200, title)}",
            "    capture: {title: $.title}",
        ]
    return "\n".join(lines) + "\n"


def against(name: str, folder: Path, socket: str, port: int) -> list[Figure]:
    """Whole runs, interpreter and imports included, beside ours with reading and compiling the suite."""
    command = installed(name, folder, port)
    theirs: list[float] = []
    ours: list[float] = []
    for _ in range(PEER_ROUNDS + 1):
        theirs.append(
            seconds_of(lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120))
        )
        ours.append(statistics.median(seconds_of(lambda: asyncio.run(read_and_play(socket))) for _ in range(3)))
    return [
        at_least(f"{name} ÷ suite of 50 cases, start-up included", ratio(theirs[1:], ours[1:]), 10),
        told(f"{name}, the same 50 requests", statistics.median(theirs[1:]) * 1000, "ms"),
        told("suite of 50 cases, reading and compiling it included", statistics.median(ours[1:]) * 1000, "ms"),
    ]


def installed(name: str, folder: Path, port: int) -> list[str]:
    """The tool in an environment of its own, and the command that plays the requests."""
    folder.mkdir()
    uv = find_uv_bin()
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, "env"], cwd=folder, check=True, timeout=120)
    packages = [uv, "pip", "install", "-q", "--python", "env/bin/python", *PEERS[name]]
    subprocess.run(packages, cwd=folder, check=True, timeout=300)
    return PEER_COMMANDS[name](folder, port)


def gabbi(folder: Path, port: int) -> list[str]:
    tests = []
    for number in range(PAIRS):
        header = {"content-type": "application/json"}
        path = {"$.title": f"Task {number}"}
        created = {"name": f"create {number}", "POST": f"{PREFIX}/tasks", "data": {"title": f"Task {number}"}}
        tests.append(
            created
            | {"request_headers": header, "status": 201, "response_headers": header, "response_json_paths": path}
        )
        read = {"name": f"read {number}", "GET": f"{PREFIX}/tasks/$RESPONSE['$.id']", "status": 200}
        tests.append(read | {"response_headers": header, "response_json_paths": path})
    (folder / "suite.yaml").write_text(json.dumps({"tests": tests}))
    return ["env/bin/gabbi-run", f"127.0.0.1:{port}", "--", "suite.yaml"]


def tavern(folder: Path, port: int) -> list[str]:
    stages = []
    for number in range(PAIRS):
        url = f"http://127.0.0.1:{port}{PREFIX}/tasks"
        headers = {"content-type": "application/json"}
        said = {"headers": headers, "json": {"title": f"Task {number}"}, "strict": False}
        create = {"url": url, "method": "POST", "json": {"title": f"Task {number}"}}
        saved = {"status_code": 201, "save": {"json": {"id": "id"}}}
        stages.append({"name": f"create {number}", "request": create, "response": said | saved})
        read = {"url": f"{url}/{{id:d}}", "method": "GET"}
        stages.append({"name": f"read {number}", "request": read, "response": said | {"status_code": 200}})
    (folder / "test_suite.tavern.yaml").write_text(json.dumps({"test_name": "tasks", "stages": stages}))
    return ["env/bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_suite.tavern.yaml"]


PEER_COMMANDS: dict[str, Callable[[Path, int], list[str]]] = {"Gabbi": gabbi, "Tavern": tavern}


def seconds_of(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
