"""Services for tests: each says its version, so that a client can tell which release it met."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
PLATFORM = "version: 1\ndefaults: {drain: 5s}\n"

ROUTER = '''
"""A service that says its version."""

import asyncio
import os

from fastapi import APIRouter, Request, WebSocket
from fastapi.responses import StreamingResponse

router = APIRouter()
VERSION = "{version}"


@router.get("/version")
async def version():
    return {{"version": VERSION, "pid": os.getpid(), "greeting": os.environ.get("GREETING")}}


@router.post("/echo")
async def echo(request: Request):
    return {{"version": VERSION, "length": len(await request.body())}}


@router.get("/slow")
async def slow(seconds: float = 1.0):
    await asyncio.sleep(seconds)
    return {{"version": VERSION}}


@router.get("/events")
async def events(count: int = 3, every: float = 0.05):
    async def lines():
        for n in range(count):
            yield f"data: {{VERSION}} {{n}}\\n\\n"
            await asyncio.sleep(every)

    return StreamingResponse(lines(), media_type="text/event-stream")


@router.websocket("/talk")
async def talk(socket: WebSocket):
    await socket.accept()
    while True:
        await socket.send_text(f"{{VERSION}} {{await socket.receive_text()}}")
'''


def service(name: str, version: str = "1", *, also: str = "", manifest: str = "") -> Mapping[str, str]:
    """The files of one service; `also` is appended to its router, `manifest` to its service.yaml."""
    folder = f"services/{name}"
    return {
        f"{folder}/router.py": ROUTER.format(version=version) + dedent(also),
        f"{folder}/service.yaml": "version: 1\n" + dedent(manifest),
    }


def router(name: str, source: str) -> Mapping[str, str]:
    """A service whose router holds nothing but what is given."""
    return {f"services/{name}/router.py": dedent(source), f"services/{name}/service.yaml": "version: 1\n"}


def gallery() -> Mapping[str, str]:
    """The services of this repository as they stand."""
    kept = [ROOT / "services.yaml", *(ROOT / "services").rglob("*"), *(ROOT / "shared").rglob("*")]
    files = [path for path in kept if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(ROOT)): path.read_text() for path in files}


def held_by(path: Path) -> str:
    """For a router: its import takes as long as this file is there."""
    return f"""

    import pathlib
    import time

    while pathlib.Path("{path}").exists():
        time.sleep(0.01)
    """
