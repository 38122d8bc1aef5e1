"""A service with every kind of request that a connection can carry, and how to ask it."""

from pathlib import Path

from tests.inside.stage import Worker, request

CODE = """
import asyncio, hashlib, os
from fastapi import APIRouter, BackgroundTasks, Request, WebSocket
from fastapi.responses import StreamingResponse

router = APIRouter()

async def gate():
    while not os.path.exists("gate"):
        await asyncio.sleep(0.005)

@router.get("/hello")
async def hello(request: Request):
    return {"path": request.scope["path"], "root": request.scope["root_path"], "query": request.url.query}

@router.post("/echo")
async def echo(request: Request):
    body = await request.body()
    return {"size": len(body), "sha": hashlib.sha256(body).hexdigest(), "names": sorted(request.headers)}

@router.post("/ignore")
async def ignore(): return "ignored"

@router.post("/crash")
async def crash(): raise OSError("broken")

@router.get("/slow")
async def slow():
    await gate()
    return "done"

@router.get("/stream")
async def stream():
    async def parts():
        for number in range(3):
            yield f"part {number}\\n"
    return StreamingResponse(parts())

@router.get("/events")
async def events():
    async def parts():
        yield "data: first\\n\\n"
        await gate()
        yield "data: last\\n\\n"
    return StreamingResponse(parts(), media_type="text/event-stream")

@router.get("/background")
async def background(tasks: BackgroundTasks):
    async def later():
        await gate()
        print("background done")
    tasks.add_task(later)
    return "begun"

@router.get("/big")
async def big(): return StreamingResponse(iter([b"x" * 100_000] * 50), headers={"content-length": "5000000"})

@router.get("/own-id")
async def own_id():
    from fastapi import Response
    return Response("x", headers={"X-Request-Id": "mine"})

@router.get("/client")
async def client(request: Request): return [request.url.scheme, request.client.host]

@router.websocket("/ws")
async def ws(socket: WebSocket):
    await socket.accept()
    await socket.send_text(f"{socket.scope['root_path']} {socket.scope['path']}")
    while True:
        await socket.send_text((await socket.receive_text()).upper())
"""


def open_gate(worker: Worker) -> None:
    """Let the requests go on that wait for it."""
    (Path(worker.spec["code"]) / "gate").touch()


def get(path: str, **headers: str) -> bytes:
    return request("GET", path, b"", **headers)


def post(path: str, body: bytes, **headers: str) -> bytes:
    return request("POST", path, body, **headers)
