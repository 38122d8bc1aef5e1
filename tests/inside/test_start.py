"""From the fork to ready, or to one sentence with file and line."""

import os
import signal
from pathlib import Path

import pytest

from reconciler.inside.process import INHERITED
from tests.inside.stage import Wire, Worker, Zygote, paused
from tests.inside.tasks import get
from tests.waiting import until_sync

HELLO = """
from fastapi import APIRouter
router = APIRouter()
@router.get("/hello")
def hello(): return {"hello": "world"}
"""


def test_a_router_becomes_a_service_that_answers_below_its_prefix(zygote: Zygote) -> None:
    worker = zygote.fork(HELLO)
    hello = worker.wire.next("hello")
    assert (hello["worker"], hello["service"], hello["pid"]) == (worker.spec["worker"], "tasks", worker.pid)
    assert hello["started"] == Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[19]
    worker.ready()
    answer = worker.get("/hello")
    assert (answer.status, answer.json) == (200, {"hello": "world"})
    assert worker.get("/openapi.json").json["info"]["title"] == "tasks"
    assert worker.get("/openapi.json").json["servers"] == [{"url": "/api/tasks"}]
    worker.retire()
    assert worker.wire.next("state", state="draining")
    assert worker.stopped() == {"requests": 0, "tasks": 0, "websockets": 0, "calls": 0}
    assert worker.exited() == 0
    assert not Path(worker.spec["private"]).exists()


APPS = {
    "router": HELLO,
    "fastapi": HELLO.replace("APIRouter", "FastAPI"),
    "starlette": """
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
async def hello(request): return JSONResponse({"hello": "world"})
router = Starlette(routes=[Route("/hello", hello)])
""",
    "plain asgi": """
async def router(scope, receive, send):
    assert scope["type"] == "http" and scope["root_path"] == "/api/tasks" and scope["path"] == "/api/tasks/hello"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b'{"hello":"world"}'})
""",
}


@pytest.mark.parametrize("code", APPS.values(), ids=APPS.keys())
def test_any_asgi_application_is_served(zygote: Zygote, code: str) -> None:
    worker = zygote.fork(code)
    worker.ready()
    assert worker.get("/hello").json == {"hello": "world"}


def test_the_bare_prefix_leads_to_the_root_of_the_service(zygote: Zygote) -> None:
    worker = zygote.fork(HELLO.replace("/hello", "/"))
    worker.ready()
    assert worker.get("").headers["location"] == "http://example.com/api/tasks/"
    assert worker.get("/").json == {"hello": "world"}


def test_an_entry_may_name_another_module_and_a_nested_attribute(zygote: Zygote) -> None:
    code = {"web/__init__.py": "", "web/main.py": HELLO + "class holder: inner = router\n"}
    worker = zygote.fork(code, entry="web.main:holder.inner")
    worker.ready()
    assert worker.get("/hello").status == 200


def test_a_service_may_call_its_modules_what_we_call_ours(zygote: Zygote) -> None:
    names = ("worker", "zygote", "output", "head", "service", "messages")
    code = {f"{name}.py": f"NAME = 'mine: {name}'" for name in names}
    code["router.py"] = (
        f"import {', '.join(names)}\n{HELLO}\nrouter.get('/names')(lambda: [{names[0]}.NAME, output.NAME])"
    )
    worker = zygote.fork(code)
    worker.ready()
    assert worker.get("/names").json == ["mine: worker", "mine: output"]


def test_environment_and_folder_are_the_services_own(zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "shared_thing.py").write_text("VALUE = 'shared'")
    code = HELLO + (
        "import os, sys, shared_thing\n"
        "@router.get('/who')\n"
        "def who(): return [dict(os.environ), os.getcwd(), shared_thing.VALUE, os.getsid(0) == os.getpid()]\n"
    )
    worker = zygote.fork(code, environ={"PAGE": "50"}, secrets={"TOKEN": "hidden-value"}, path=[str(tmp_path)])
    worker.ready()
    environ, folder, shared, is_leader = worker.get("/who").json
    assert environ["TOKEN"] == "hidden-value" and environ["PAGE"] == "50"
    assert set(environ) - {"TOKEN", "PAGE"} <= set(INHERITED)
    assert (folder, shared, is_leader) == (worker.spec["code"], "shared", True)
    assert b"hidden-value" not in Path(f"/proc/{worker.pid}/environ").read_bytes()


def test_what_a_service_starts_holds_nothing_of_its_worker(zygote: Zygote) -> None:
    command = "exec ls /proc/self/fd > found"
    worker = zygote.fork(f"import os\n{HELLO}\nrouter.get('/start')(lambda: os.system({command!r}))")
    worker.ready()
    gateway = worker.attach()
    assert gateway.client(get("/api/tasks/start")).answer().json == 0
    # The last is that of the folder which it reads.
    assert (Path(worker.spec["code"]) / "found").read_text().split() == ["0", "1", "2", "3"]


def test_a_worker_holds_nothing_of_the_zygote_and_of_its_siblings(zygote: Zygote) -> None:
    zygote.fork(HELLO).ready()
    worker = zygote.fork(HELLO)
    worker.ready()
    links, zygotes = (descriptors(pid) for pid in (worker.pid, zygote.process.pid))
    assert {link for link in links & zygotes if link.startswith("socket:")} == set()
    # The lifeline, and what becomes of its raw output.
    assert len({link for link in links & zygotes if link.startswith("pipe:")}) == 3


def descriptors(pid: int) -> set[str]:
    return {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}


BROKEN = {
    "no such module": ({"other.py": ""}, "ModuleNotFoundError: No module named 'router'", None, None),
    "missing requirement": (
        {"router.py": "import os\nimport not_installed_here\n"},
        "ModuleNotFoundError: No module named 'not_installed_here'",
        "router.py",
        2,
    ),
    "syntax error": ({"router.py": "x = 1\ndef f(:\n  pass\n"}, "SyntaxError: invalid syntax", "router.py", 2),
    "error in a module of its own": (
        {"router.py": "import inner.deep\n", "inner/deep.py": "\n\nraise ValueError('no luck')\n"},
        "ValueError: no luck",
        "inner/deep.py",
        3,
    ),
    "error in a library it calls": (
        {"router.py": "import json\njson.loads('{')\n"},
        "json.decoder.JSONDecodeError: Expecting property name",
        "router.py",
        2,
    ),
    "attribute error of its own": (
        {"router.py": "import os\nos.nothing\n"},
        "AttributeError: module 'os' has no attribute 'nothing'",
        "router.py",
        2,
    ),
    "no such attribute": ({"router.py": "routes = 1"}, "router.py has no attribute router.", "router.py", None),
    "wrong type": ({"router.py": "router = {}"}, "router in router.py is of type dict, not", "router.py", None),
    "a class": ({"router.py": "class router: pass"}, "router in router.py is a class, not", "router.py", None),
    "a factory": ({"router.py": "def router(): pass"}, "router in router.py is of type function", "router.py", None),
    "sys.exit": ({"router.py": "import sys\nsys.exit(4)"}, "The service called sys.exit(4) while", "router.py", 2),
    "a route without a path": (
        {"router.py": "from fastapi import APIRouter\nrouter = APIRouter()\nrouter.get('')(lambda: 1)"},
        "fastapi.exceptions.FastAPIError: Prefix and path cannot be both empty",
        None,
        None,
    ),
}


@pytest.mark.parametrize(("code", "message", "file", "line"), BROKEN.values(), ids=BROKEN.keys())
def test_what_does_not_import_says_why_and_where(
    zygote: Zygote, code: dict[str, str], message: str, file: str | None, line: int | None
) -> None:
    worker = zygote.fork(code)
    failure = worker.failed()
    assert failure["reason"] == "ImportFailed"
    assert failure["message"].startswith(message)
    assert (failure["file"], failure["line"]) == (file, line)
    assert "reconciler" not in failure["detail"] and "importlib" not in failure["detail"]
    assert len(failure["detail"].encode()) <= 8192
    assert worker.exited() == 3


REMEDIES = {
    "the module of the entry": (
        {"main.py": ""},
        "add router.py to the service's folder, or name another module in `entry`",
    ),
    "the name in it": ({"router.py": "app = 1"}, "define router there, or name another in `entry`"),
    "a package": (
        {"router.py": "import not_here.at_all"},
        "if not_here is in a package, add that to `requirements`; if in this repository, add its path to `watch`",
    ),
    "a module of its own": ({"router.py": "import own.deep", "own/__init__.py": ""}, None),
    "a name in a package": ({"router.py": "from fastapi import APIRuter"}, None),
}


@pytest.mark.parametrize(("code", "remedy"), REMEDIES.values(), ids=REMEDIES.keys())
def test_what_is_missing_is_told_with_what_to_do(zygote: Zygote, code: dict[str, str], remedy: str | None) -> None:
    assert zygote.fork(code).failed()["remedy"] == remedy


def test_a_name_that_a_package_has_not_is_told_without_where_that_lies(zygote: Zygote) -> None:
    failure = zygote.fork({"router.py": "from fastapi import APIRuter"}).failed()
    assert failure["message"].startswith("ImportError: cannot import name 'APIRuter' from 'fastapi'")
    assert "site-packages" not in failure["message"] + failure["detail"]


STARTUPS = {
    "lifespan of the router": """
import contextlib
from fastapi import APIRouter
@contextlib.asynccontextmanager
async def lifespan(app):
    raise RuntimeError("no database")
    yield
router = APIRouter(lifespan=lifespan)
""",
    "lifespan of an application": """
import contextlib
from fastapi import FastAPI
@contextlib.asynccontextmanager
async def lifespan(app):
    raise RuntimeError("no database")
    yield
router = FastAPI(lifespan=lifespan)
""",
    "on_event": """
from fastapi import APIRouter
router = APIRouter()

@router.on_event("startup")
async def start(): raise RuntimeError("no database")
""",
}


@pytest.mark.parametrize("code", STARTUPS.values(), ids=STARTUPS.keys())
def test_what_fails_at_start_says_why_and_where(zygote: Zygote, code: str) -> None:
    worker = zygote.fork(code)
    failure = worker.failed()
    assert (failure["reason"], failure["message"]) == ("StartFailed", "RuntimeError: no database")
    assert (failure["file"], failure["line"]) == ("router.py", 6)
    assert worker.exited() == 3


def test_sys_exit_at_start_is_a_failed_start(zygote: Zygote) -> None:
    worker = zygote.fork(STARTUPS["on_event"].replace('raise RuntimeError("no database")', "raise SystemExit(9)"))
    assert worker.failed()["message"] == "The service called sys.exit(9) while it started."
    assert worker.exited() == 3


def test_os_exit_at_import_is_an_exit(zygote: Zygote) -> None:
    assert zygote.fork("import os\nos._exit(7)").exited() == 7


def test_a_segmentation_fault_is_a_signal_and_its_traceback_is_kept(zygote: Zygote) -> None:
    worker = zygote.fork(HELLO + "import ctypes\n@router.get('/crash')\ndef crash(): ctypes.string_at(0)\n")
    worker.ready()
    with worker.private() as client:
        client.send(b"GET /api/tasks/crash HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.at_end()
    assert worker.exited() == -signal.SIGSEGV
    assert worker.said("Fatal Python error: Segmentation fault")["stream"] == "stderr"


def test_a_worker_that_hangs_at_import_can_be_killed(zygote: Zygote) -> None:
    worker = zygote.fork("import time, sys\nprint('here', flush=True)\ntime.sleep(60)")
    worker.said("here")
    os.kill(worker.pid, signal.SIGKILL)
    assert worker.exited() == -signal.SIGKILL


LIFESPAN = """
import contextlib
from fastapi import APIRouter, FastAPI
@contextlib.asynccontextmanager
async def lifespan(app):
    print("starts")
    yield
    print("stops")
"""
EVENTS = """
from fastapi import APIRouter, FastAPI
router = APIRouter()
@router.on_event("startup")
def up(): print("starts")
@router.on_event("shutdown")
async def down(): print("stops")
"""
NEST = "inner, router = router, APIRouter()\nrouter.include_router(inner)\n"
LIFECYCLES = {
    "lifespan of a router": LIFESPAN + "router = APIRouter(lifespan=lifespan)\n",
    "lifespan of an inner router": LIFESPAN + "router = APIRouter(lifespan=lifespan)\n" + NEST,
    "lifespan of an application": LIFESPAN + "router = FastAPI(lifespan=lifespan)\n",
    "events of a router": EVENTS,
    "events of an inner router": EVENTS + NEST,
    "events of a router two deep": EVENTS + NEST + NEST,
    "events of an application": EVENTS.replace("APIRouter()", "FastAPI()"),
}


@pytest.mark.parametrize("code", LIFECYCLES.values(), ids=LIFECYCLES.keys())
def test_startup_and_shutdown_run_exactly_once(zygote: Zygote, code: str) -> None:
    worker = zygote.fork(code)
    worker.ready()
    worker.retire()
    worker.stopped()
    assert worker.exited() == 0
    said = [record["message"] for record in worker.records() if record["stream"] == "stdout"]
    assert said == ["starts", "stops"]


def test_what_a_lifespan_yields_reaches_the_requests(zygote: Zygote) -> None:
    code = LIFECYCLES["lifespan of a router"].replace("yield", "yield {'seed': 7}")
    code += "from fastapi import Request\n@router.get('/seed')\ndef seed(request: Request): return request.state.seed\n"
    worker = zygote.fork(code)
    worker.ready()
    assert worker.get("/seed").json == 7


def test_sigterm_retires(zygote: Zygote) -> None:
    worker = zygote.fork(HELLO + "import atexit\natexit.register(print, 'goodbye')\n")
    worker.ready()
    os.kill(worker.pid, signal.SIGTERM)
    worker.stopped()
    assert worker.exited() == 0
    assert worker.said("goodbye")


def test_what_a_worker_started_ends_with_it(zygote: Zygote) -> None:
    code = "import subprocess\nchild = subprocess.Popen(['sleep', '60'])\nprint(child.pid)\n" + HELLO
    worker = zygote.fork(code)
    worker.ready()
    child = int(until_sync(worker.records)[0]["message"])
    os.kill(worker.pid, signal.SIGKILL)
    worker.exited()
    until_sync(lambda: not is_running(child), what="the end of the child process")


def test_what_outlives_a_worker_and_prints_without_end_holds_up_nobody(zygote: Zygote) -> None:
    code = "import subprocess\nchild = subprocess.Popen(['yes'], start_new_session=True)\nprint('yes is', child.pid)\n"
    worker = zygote.fork(code + HELLO)
    worker.ready()
    child = int(until_sync(lambda: said_by(worker, "yes is "), what="the child process")[7:])
    os.kill(worker.pid, signal.SIGKILL)
    worker.exited()
    until_sync(lambda: not is_running(child), what="the end of the child process, which nobody hears any more")


def said_by(worker: Worker, beginning: str) -> str:
    messages = [record["message"] for record in worker.records()]
    return next((message for message in messages if message.startswith(beginning)), "")


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_that_nobody_can_be_told_of_does_not_stay(zygote: Zygote) -> None:
    """Control was killed between its question and the answer: the next one could not find what came of it."""
    spec = zygote.spec({"router.py": HELLO})
    asking = Wire(str(zygote.run / "z.sock"))
    asking.next("hello")
    with paused(zygote.process.pid):
        asking.send({"op": "fork", "spec": spec})
        asking.close()
    assert zygote.wire.next("exited", worker=spec["worker"])["status"] == signal.SIGKILL
    until_sync(lambda: not zygote.children(), what="everybody to be gone")


def test_limits_hold(zygote: Zygote) -> None:
    code = HELLO + "import resource\n@router.get('/big')\ndef big(): return len(bytearray(10**11))\n"
    worker = zygote.fork(code, limits={"memory": 512 * 1024 * 1024, "files": 100, "processes": None})
    worker.ready()
    assert worker.get("/big").status == 500
    assert worker.get("/hello").status == 200


def test_ready_names_the_libraries_that_were_new(zygote: Zygote) -> None:
    worker = zygote.fork("import json, fastapi, h11, sibling\n" + HELLO, path=[])
    assert worker.failed()["message"] == "ModuleNotFoundError: No module named 'sibling'"
    worker = zygote.fork({"router.py": "import json, fastapi, h11, sibling\n" + HELLO, "sibling.py": ""})
    assert worker.ready()["modules"] == ["h11"]


def test_a_zygote_learns_libraries_but_none_that_would_not_be_the_same(old_python: str, tmp_path: Path) -> None:
    library = next(Path(old_python).parent.parent.glob("lib/python*/site-packages"))
    (library / "harmless.py").write_text("VALUE = 'library'")
    thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    (library / "threaded.py").write_text(thread)
    zygote = Zygote(tmp_path, old_python)
    (library / "curious.py").write_text("import os\nLEVEL = os.environ.get('LEVEL')\n")
    try:
        zygote.wire.send({"op": "preload", "modules": ["threaded", "curious", "absent", "harmless"]})
        code = "import curious, harmless, threaded\n" + HELLO
        rest = ["curious", "threaded"]
        assert until_sync(lambda: zygote.fork(code).ready()["modules"] == rest, what="a learnt module")
        # What a service calls its own is its own, whatever the zygote knows by that name.
        worker = zygote.fork({"router.py": code + "print(harmless.VALUE)", "harmless.py": "VALUE = 'mine'"})
        worker.ready()
        assert worker.said("mine")
    finally:
        zygote.close()
