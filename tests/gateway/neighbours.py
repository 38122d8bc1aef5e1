"""The gateway's real neighbours: the supervisor that starts its process, control's line to it, workers, and clients."""

import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reconciler.gateway.table import Live, Table, Unready, WorkerAddress
from reconciler.inside.head import read_head
from reconciler.inside.passing import receive_connection, send_connection
from reconciler.model.names import ReleaseId, ServiceName, WorkerId
from tests.waiting import until_sync

PATIENCE = 30.0
Route = Live | Unready
_numbers = itertools.count(1)


class Gateway:
    """A real gateway process on a listening socket that outlives it."""

    def __init__(self, *flags: str, descriptors: int | None = None, rights: bool = True) -> None:
        self._flags = flags
        self._has_rights = rights
        self._descriptor_limit = descriptors
        self.run = Path(tempfile.mkdtemp(prefix="gw-"))
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = int(self.listening.getsockname()[1])
        self._lifeline, self.lifeline_end = os.pipe()
        self.start()

    def start(self) -> None:
        self.start_process()
        self.control = Control(self.run)

    def start_process(self) -> None:
        command = [sys.executable, "-m", "reconciler.gateway", "--run", str(self.run)]
        command += ["--listen-fd", str(self.listening.fileno()), "--lifeline-fd", str(self._lifeline), *self._flags]
        if not self._has_rights and os.geteuid() == 0:
            command = ["setpriv", "--bounding-set=-sys_resource,-sys_admin", "--inh-caps=-all", *command]
        if self._descriptor_limit is not None:
            command = ["prlimit", f"--nofile={self._descriptor_limit}", *command]
        (self.run / "gateway.sock").unlink(missing_ok=True)
        self.process = subprocess.Popen(command, pass_fds=(self.listening.fileno(), self._lifeline))
        until_sync((self.run / "gateway.sock").exists, what="the gateway's socket")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    @property
    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def descriptors(self) -> int:
        return len(self._descriptors_in_use())

    @property
    def highest_descriptor(self) -> int:
        return max(self._descriptors_in_use())

    def _descriptors_in_use(self) -> list[int]:
        return [int(entry.name) for entry in Path(f"/proc/{self.process.pid}/fd").iterdir()]

    def client(self, sent: bytes = b"") -> "Client":
        return Client(self.port, sent)

    def ask(self, sent: bytes) -> "Reply":
        with self.client(sent) as client:
            return client.reply()

    def get(self, path: str) -> "Reply":
        return self.ask(get(path))

    def close(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait(PATIENCE)
        self.listening.close()
        os.close(self._lifeline)
        with contextlib.suppress(OSError):
            os.close(self.lifeline_end)
        shutil.rmtree(self.run)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Control:
    """Control's line, bare: one JSON object per line."""

    def __init__(self, run: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(PATIENCE)
        until_sync(lambda: self._socket.connect_ex(str(run / "gateway.sock")) == 0, what="the gateway to listen")
        self._lines = self._socket.makefile("rb")

    def order(self, op: str, **fields: Any) -> dict[str, Any]:
        number = next(_numbers)
        self.send(json.dumps({"op": op, "id": number, **fields}).encode() + b"\n")
        reply = self.read()
        assert reply["id"] == number
        return reply

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise EOFError("the gateway closed the line")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def table(self, routes: Mapping[str, Route], *, complete: bool = True, mount: str = "/api") -> list[str]:
        return list(self.order("table", **Table(mount, routes, complete=complete).to_json())["failed"])

    def route(self, prefix: str, route: Route | None, *draining: WorkerAddress) -> list[str]:
        document = None if route is None else route.to_json()
        reply = self.order("route", prefix=prefix, route=document, draining=[one.to_json() for one in draining])
        assert reply["op"] == "done"
        return list(reply["failed"])

    def stats(self) -> dict[str, int]:
        return self.order("stats")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def live(service: str, *workers: "Worker") -> Live:
    addresses = tuple(worker.address for worker in workers)
    return Live(ServiceName(service), ReleaseId(f"{service}-1"), addresses)


def unready(service: str, code: str = "starting", retry_after: int = 1) -> Unready:
    return Unready(ServiceName(service), code, "It is not ready.", retry_after)


class Worker:
    """A worker in a thread: it obeys the two wires, and answers each request with its name.

    `keep` decides what becomes of a connection after an answer: "close", "hand back", or "keep" it in `kept`.
    """

    def __init__(self, run: Path, name: str = "tasks-1.1", *, keep: str = "close", takes: bool = True) -> None:
        self.name = name
        self.keep = keep
        self.address = WorkerAddress(WorkerId(name), str(run / f"w-{next(_numbers)}.sock"))
        self.received: list[bytes] = []
        """What was unread in each connection that came, in order."""
        self.kept: list[tuple[int, bytes]] = []
        self.channels: list[socket.socket] = []
        self.controls: list[socket.socket] = []
        self.is_dead = False
        self._takes = threading.Event()
        if takes:
            self._takes.set()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(self.address.socket)
        self._listening.listen(4)
        self._end, self._ended = os.pipe()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def take(self) -> None:
        """Begin to take connections."""
        self._takes.set()
        self._wake()

    def stop_taking(self) -> None:
        self._takes.clear()
        self._wake()

    def say(self, message: object) -> None:
        until_sync(lambda: self.controls, what="the gateway to attach")
        for control in self.controls:
            control.sendall(json.dumps(message).encode() + b"\n")

    def hand_back(self, fd: int, unread: bytes = b"") -> None:
        send_connection(self.channels[-1], fd, unread)
        os.close(fd)

    def die(self) -> None:
        """As the kernel does it for a killed process: every descriptor is closed at once."""
        if self.is_dead:
            return
        self.is_dead = True
        os.write(self._ended, b"!")
        self._thread.join(PATIENCE)
        for one in (*self.channels, *self.controls, self._listening):
            one.close()
        for fd, _ in self.kept:
            os.close(fd)
        os.close(self._end)
        os.close(self._ended)

    def _wake(self) -> None:
        os.write(self._ended, b".")

    def _live(self) -> None:
        while True:
            wanted: list[Any] = [self._end, self._listening, *self.controls]
            if self._takes.is_set():
                wanted += self.channels
            for ready in select.select(wanted, [], [])[0]:
                if ready == self._end:
                    if os.read(self._end, 1) == b"!":
                        return
                elif ready is self._listening:
                    self._greet()
                elif ready in self.controls:
                    self._obey(ready)
                else:
                    self._take_from(ready)

    def _greet(self) -> None:
        control, _ = self._listening.accept()
        self.controls.append(control)
        with contextlib.suppress(OSError):
            control.sendall(json.dumps({"op": "hello", "worker": self.name, "state": "ready"}).encode() + b"\n")

    def _obey(self, control: socket.socket) -> None:
        try:
            message, fds, _, _ = socket.recv_fds(control, 4096, 4)
        except ConnectionResetError:
            message = b""
        if not message:
            self.controls.remove(control)
            control.close()
            return
        assert json.loads(message) == {"op": "attach"}
        self.channels.append(socket.socket(fileno=fds[0]))

    def _take_from(self, channel: socket.socket) -> None:
        try:
            received = receive_connection(channel)
        except (BlockingIOError, ValueError):
            return
        except OSError:
            received = None
        if received is None:
            self.channels.remove(channel)
            channel.close()
            return
        self.received.append(received[1])
        self._answer(*received)

    def _answer(self, fd: int, unread: bytes) -> None:
        client = socket.socket(fileno=os.dup(fd))
        client.settimeout(PATIENCE)
        data = unread
        with client, contextlib.suppress(OSError):
            while (head := read_head(data)) is None or len(data) < head.length + head.content_length:
                chunk = client.recv(65536)
                if not chunk:
                    raise ConnectionResetError
                data += chunk
            rest = data[head.length + head.content_length :]
            body = self.name.encode()
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            self._part_with(fd, rest)
            return
        os.close(fd)

    def _part_with(self, fd: int, rest: bytes) -> None:
        if self.keep == "keep":
            self.kept.append((fd, rest))
        elif self.keep == "hand back":
            self.hand_back(fd, rest)
        else:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.die()


class Reply:
    def __init__(self, status: int, fields: dict[str, str], body: bytes) -> None:
        self.status = status
        self.fields = fields
        self.body = body

    @property
    def closes(self) -> bool:
        return self.fields.get("connection") == "close"

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


class Client:
    """A raw client that notices everything."""

    def __init__(self, port: int, sent: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._incoming = b""
        if sent:
            self.send(sent)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self, *, with_body: bool = True) -> Reply:
        while b"\r\n\r\n" not in self._incoming:
            self._more()
        head, _, self._incoming = self._incoming.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(fields.get("content-length", 0)) if with_body else 0
        while len(self._incoming) < length:
            self._more()
        body, self._incoming = self._incoming[:length], self._incoming[length:]
        return Reply(int(status.split(" ")[1]), fields, body)

    def is_closed(self) -> bool:
        """Waits for the end; False when something else comes first. A reset raises."""
        return not self._incoming and self.socket.recv(1) == b""

    def _more(self) -> None:
        chunk = self.socket.recv(65536)
        if not chunk:
            raise EOFError(f"the connection was closed after {self._incoming!r}")
        self._incoming += chunk

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def get(path: str, *fields: str) -> bytes:
    return request("GET", path, *fields)


def request(method: str, path: str, *fields: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@contextlib.contextmanager
def serving(*flags: str, keep: str = "close", takes: bool = True) -> Iterator[tuple[Gateway, Worker]]:
    """A gateway with one service, `tasks`, and its one worker."""
    with Gateway(*flags) as gateway, Worker(gateway.run, keep=keep, takes=takes) as worker:
        assert gateway.control.table({"/api/tasks": live("tasks", worker)}) == []
        yield gateway, worker


def count(gateway: Gateway, name: str) -> Callable[[], int]:
    return lambda: gateway.control.stats()[name]
