"""Start one worker for trial, with a sample service, and note which code it calls from its fork to its last answer.

It is a worker like any other, in a process of its own and a folder of its own, and is gone before the zygote forks for
anybody. When it fails, nothing is known, and nothing is lost.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from . import process
from .messages import Gone, Messages
from .passing import channel_pair, send_connection
from .spec import Spec
from .worker import Inheritance

SECONDS = 10
SERVICE = Path(__file__).parent / "sample"
HEAD = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
REQUESTS = (
    b"GET /trial/7?text=a" + HEAD + b"\r\n",
    b"PUT /trial/models/a"
    + HEAD
    + b'Content-Type: application/json\r\nContent-Length: 24\r\n\r\n{"name":"a","price":1.0}',
)


def code_of_a_worker(lifeline: int) -> frozenset[int]:
    """The ids of all code objects that it called."""
    folder = Path(tempfile.mkdtemp(prefix="trial-"))
    reader, writer = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _serve(folder, lifeline, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as told:
            called = told.read()
        os.waitpid(pid, 0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return frozenset(json.loads(called)) if called else frozenset()


def _serve(folder: Path, lifeline: int, report: int) -> NoReturn:
    try:
        signal.alarm(SECONDS)
        shutil.copytree(SERVICE, folder / "code")
        spec = Spec.of(
            {name: str(folder / name) for name in ("socket", "private", "code", "output")}
            | {"worker": "trial", "release": "trial", "service": "trial", "entry": "router:router", "prefix": "/trial"}
        )
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(spec.socket)
        listener.listen()
        nothing = [os.open(os.devnull, os.O_WRONLY) for _ in range(2)]
        called: set[int] = set()
        threading.Thread(target=_ask, args=(spec.socket, called, report), daemon=True).start()
        sys.setprofile(_noting(called))
        process.run(spec, Inheritance(listener, lifeline, *nothing))
    finally:
        os._exit(1)


def _noting(called: set[int]) -> Any:
    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            called.add(id(frame.f_code))

    return note


def _ask(path: str, called: set[int], report: int) -> NoReturn:
    """What control and a gateway would do."""
    try:
        control = socket.socket(socket.AF_UNIX)
        control.connect(path)
        with contextlib.suppress(Gone, OSError):
            _send_requests(control)
        with os.fdopen(report, "wb") as told:
            told.write(json.dumps(list(called)).encode())
    finally:
        os._exit(0)


def _send_requests(control: socket.socket) -> None:
    messages = Messages(control)
    control.setblocking(True)
    while not any(message.get("state") in ("ready", "failed") for message in messages.receive()):
        pass
    ours, theirs = channel_pair()
    socket.send_fds(control, [b'{"op":"attach"}\n'], [theirs.fileno()])
    for request in REQUESTS:
        client, served = socket.socketpair()
        client.sendall(request)
        send_connection(ours, served.fileno(), b"")
        served.close()
        while client.recv(4096):
            pass
