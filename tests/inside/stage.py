"""A real zygote with real workers, driven by the wire protocol, for the tests of what runs inside a service."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from reconciler.inside.passing import channel_pair, receive_connection, send_connection
from tests.waiting import until_sync

INSIDE = Path(__file__).parents[2] / "reconciler" / "inside"
Message = dict[str, Any]


class Wire:
    """One client of a control socket."""

    def __init__(self, path: str) -> None:
        self.sock = connect(path)
        self.lines = self.sock.makefile("r")

    def send(self, message: Message, *fds: int) -> None:
        line = json.dumps(message).encode() + b"\n"
        rest = line[socket.send_fds(self.sock, [line], list(fds)) :]
        # Sending nothing is refused as well, by one who has obeyed and gone.
        if rest:
            self.sock.sendall(rest)

    def next(self, op: str, **expected: object) -> Message:
        """The next message of this kind; others are skipped."""
        for line in self.lines:
            message: Message = json.loads(line)
            if message["op"] == op and all(message.get(name) == value for name, value in expected.items()):
                return message
        raise AssertionError(f"the socket was closed before {op} {expected}")

    def close(self) -> None:
        self.lines.close()
        self.sock.close()


def connect(path: str) -> socket.socket:
    def attempt() -> socket.socket | None:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(10)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            return None
        return sock

    sock = until_sync(attempt, what=f"a listener at {path}")
    assert sock is not None
    return sock


class Worker:
    def __init__(self, zygote: "Zygote", spec: Message, pid: int) -> None:
        self.zygote = zygote
        self.spec = spec
        self.pid = pid

    @cached_property
    def wire(self) -> Wire:
        """Connected when somebody has something to say: a worker may be gone before that."""
        wire = Wire(self.spec["socket"])
        self.zygote.opened.callback(wire.close)
        return wire

    def ready(self) -> Message:
        return self.wire.next("state", state="ready")

    def failed(self) -> Message:
        return self.wire.next("state", state="failed")

    def retire(self, drain: float = 5.0) -> None:
        self.wire.send({"op": "retire", "drain": drain})

    def stopped(self) -> Mapping[str, int]:
        cut: Mapping[str, int] = self.wire.next("state", state="stopped")["cut"]
        return cut

    def exited(self) -> int:
        """The exit code, negative for a signal."""
        status = self.zygote.wire.next("exited", worker=self.spec["worker"])["status"]
        return os.waitstatus_to_exitcode(status)

    def stats(self) -> Message:
        self.wire.send({"op": "stats"})
        return self.wire.next("stats")

    def attach(self) -> "Gateway":
        return Gateway(self)

    def private(self) -> "Client":
        sock = connect(self.spec["private"])
        self.zygote.opened.callback(sock.close)
        return Client(sock)

    def get(self, path: str) -> "Answer":
        with self.private() as client:
            return client.ask("GET", self.spec["prefix"] + path)

    @property
    def output(self) -> Path:
        return Path(self.spec["output"])

    def records(self) -> list[Message]:
        """Everything that was said so far, oldest first."""
        files = [self.output / "previous.jsonl", self.output / "current.jsonl"]
        texts = [file.read_text() for file in files if file.exists()]
        # The last line may be seen while it is being written.
        return [json.loads(line) for text in texts for line in text[: text.rfind("\n") + 1].splitlines()]

    def said(self, message: str) -> Message:
        """The record with this message; waits for it."""
        return until_sync(
            lambda: [record for record in self.records() if record["message"] == message],
            what=f"the line {message!r}",
        )[0]


class Zygote:
    def __init__(
        self, folder: Path, python: str = sys.executable, *, user: int | None = None, prelude: str = ""
    ) -> None:
        """`prelude` is said to Python before the zygote begins: a test in a hurry changes how long things last."""
        self.folder = folder
        # Socket paths are limited to 108 bytes; pytest's folders are longer.
        self._run = tempfile.TemporaryDirectory(prefix="rcl-")
        self.run = Path(self._run.name)
        self.log = self.run / "zygote.log"
        self._forks = 0
        self.opened = ExitStack()
        """What the running test opened."""
        reader, writer = os.pipe()
        self.lifeline = os.fdopen(writer, "wb")
        program = (
            ["-c", f"{prelude}; import sys; zygote.main(sys.argv[1:])"] if prelude else ["-I", str(INSIDE), "zygote"]
        )
        command = [*self._become(user), python, *program, "--socket", str(self.run / "z.sock")]
        command += ["--lifeline-fd", str(reader), "--log", str(self.log)]
        self.process = subprocess.Popen(command, pass_fds=[reader], start_new_session=True)
        os.close(reader)
        self.wire = Wire(str(self.run / "z.sock"))
        self.wire.next("hello")

    def _become(self, user: int | None) -> list[str]:
        """Without any right but to read what lies below a folder that is root's: the interpreter may."""
        if user is None:
            return []
        for folder in (self.folder, self.run):
            os.chown(folder, user, user)
        who = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        return ["setpriv", *who, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]

    def spec(self, files: Mapping[str, str], name: str = "tasks", **fields: object) -> Message:
        self._forks += 1
        code = self.folder / f"code-{self._forks}"
        for path, text in files.items():
            (code / path).parent.mkdir(parents=True, exist_ok=True)
            (code / path).write_text(text)
        spec: Message = {"worker": f"{name}-1.{self._forks}", "release": f"{name}-1", "service": name}
        spec |= {"revision": "main@sha1:0", "code": str(code), "path": [], "entry": "router:router"}
        spec |= {"socket": str(self.run / f"w-{self._forks}.sock"), "private": str(self.run / f"h-{self._forks}.sock")}
        spec |= {"prefix": f"/api/{name}", "environ": {}, "output": str(self.folder / f"logs-{self._forks}")}
        spec |= {"output_limit": 1_000_000, "limits": {}, "body_limit": None, "drain": 5.0}
        return spec | fields

    def fork(self, files: Mapping[str, str] | str, name: str = "tasks", **fields: object) -> Worker:
        if isinstance(files, str):
            files = {"router.py": files}
        spec = self.spec(files, name, **fields)
        self.wire.send({"op": "fork", "spec": spec})
        return Worker(self, spec, self.wire.next("forked", worker=spec["worker"])["pid"])

    def tidy(self) -> None:
        """After a test: close its sockets, end its workers."""
        self.opened.close()
        for child in self.children():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def children(self) -> list[int]:
        wire = Wire(str(self.run / "z.sock"))
        try:
            return [child["pid"] for child in wire.next("hello")["children"]]
        finally:
            wire.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.tidy()
        self.opened.close()
        self.lifeline.close()
        self.wire.close()
        self.process.wait(5)
        self._run.cleanup()


class Gateway:
    """The gateway's end of one worker's channel, with a listener for real TCP clients."""

    def __init__(self, worker: Worker) -> None:
        self.channel, end = channel_pair()
        # Like the gateway, keep the worker's end too: what a dead worker did not receive can be read from it.
        self.kept = end
        worker.wire.send({"op": "attach"}, end.fileno())
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.opened = worker.zygote.opened
        self.opened.callback(self.die)

    def client(self, first: bytes = b"", *, unread: bytes = b"") -> "Client":
        """A new client whose connection is handed to the worker; `unread` is what the gateway has already taken."""
        client = socket.create_connection(self.listener.getsockname(), timeout=10)
        accepted, _ = self.listener.accept()
        if first:
            client.sendall(first)
        with accepted:
            send_connection(self.channel, accepted.fileno(), unread)
        self.opened.callback(client.close)
        return Client(client)

    def returned(self) -> tuple[socket.socket, bytes]:
        """The next connection that the worker hands back."""

        def look() -> tuple[int, bytes] | None:
            try:
                received = receive_connection(self.channel)
            except BlockingIOError:
                return None
            assert received is not None, "the worker closed its channel"
            return received

        received = until_sync(look, what="a connection to come back")
        assert received is not None
        fd, unread = received
        sock = socket.socket(fileno=fd)
        sock.settimeout(10)
        self.opened.callback(sock.close)
        return sock, unread

    def die(self) -> None:
        self.channel.close()
        self.kept.close()
        self.listener.close()


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A plain HTTP client that shows every byte."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        with suppress(BrokenPipeError):  # a parked worker answers before it is asked
            self.send(request(method, path, body, **headers))
        return self.answer(method)

    def answer(self, method: str = "GET") -> Answer:
        head = self._until(b"\r\n\r\n").decode()
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        status = int(first.split()[1])
        if method == "HEAD" or status in (100, 101, 204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, b"".join(self.chunks()))
        return Answer(status, headers, self._exactly(int(headers["content-length"])))

    def chunks(self) -> Iterator[bytes]:
        while size := int(self._until(b"\r\n"), 16):
            yield self._exactly(size + 2)[:-2]
        self._exactly(2)

    def at_end(self) -> bool:
        """The other side has closed, and nothing else came."""
        return not self.buffer and self.sock.recv(1) == b""

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self._receive()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self._receive()
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def _receive(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise AssertionError(f"the connection was closed after {self.buffer!r}")
        self.buffer += data


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    fields = {"Host": "example.com"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if body and "transfer-encoding" not in {name.lower() for name in fields}:
        fields["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """The process does not run meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
