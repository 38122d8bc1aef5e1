"""The fork server of one environment: Python with the framework imported and warm, waiting to become workers.

It runs nothing of any service and has one thread, so that a fork is always safe. When it is warm it forks the stem,
which does nothing but fork workers; it keeps the books itself. It reads what its workers' C code and child processes
print, and says when a worker has ended. When the platform is gone (the lifeline's end of file) it ends them all.
"""

import argparse
import contextlib
import marshal
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from . import kernel, process
from .layout import close_up, freeze, gather
from .messages import Gone, Message, Messages
from .output import NOTICE_EVERY, Output, OutputFile, Speaker
from .passing import file_holding
from .redaction import Redactor
from .rehearsal import rehearse
from .spec import Limits, Spec
from .stem import BORN, END, EXITED, FORK, KILL, LEARN, ORDER, REPORT, Stem
from .streams import RawLines
from .trial import code_of_a_worker
from .usage import Usage, kills_for_memory, usage_of

READ_AT_ONCE = 64 * 1024
LAST_READS = 16
"""So often is a pipe read that holds as much as it may. What a worker left behind may write to it without end."""
BACKLOG = 128
BIRTHS_AT_ONCE = 32
LOOK_EVERY = 0.5


@dataclass(frozen=True, slots=True)
class Birth:
    """A worker that was ordered from the stem. It makes them in turn."""

    worker: str
    client: Messages
    output: Output
    limits: Limits
    stdout: int
    stderr: int


@dataclass(eq=False)
class Child:
    pid: int
    worker: str
    output: Output
    limits: Limits
    excess: Literal["", "memory", "processes"] = ""
    """Of what it had more than it may, and is being ended for it."""
    pipes: dict[int, RawLines] = field(default_factory=dict)

    @property
    def is_watched(self) -> bool:
        return bool(self.limits.memory or self.limits.processes)


class Zygote:
    def __init__(self, socket_path: str, lifeline: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = listen(socket_path)
        self._lifeline = lifeline
        self._clients: set[Messages] = set()
        self._children: dict[int, Child] = {}
        self._births: deque[Birth] = deque()
        self._files: dict[str, OutputFile] = {}
        self._untold: list[Message] = []
        self._stopping = False
        self._next_look = 0.0
        self._kills = kills_for_memory()

    def beget(self) -> None:
        """Fork the stem: as late as possible, and before anything is served."""
        self._stem, theirs = socket.socketpair()
        if os.fork() == 0:
            self._stem.close()
            self._listener.close()
            self._selector.close()
            try:
                Stem(theirs, self._lifeline).run()
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(1)
        theirs.close()

    def run(self) -> None:
        self._watch(self._listener, self._accept)
        self._watch(self._lifeline, self._read_lifeline)
        self._watch(self._stem, self._hear_stem)
        while not (self._stopping and not self._children and not self._births):
            for key, _ in self._selector.select(self._patience()):
                # What an earlier one of the same round closed is not asked any more, nor who got its number since.
                if self._selector.get_map().get(key.fd) is key:
                    key.data()
            for child in self._children.values():
                child.output.settle()
            self._look_at_usage()

    def _patience(self) -> float | None:
        """For how long there is nothing to do unless something happens."""
        if any(child.is_watched for child in self._children.values()):
            return LOOK_EVERY
        return NOTICE_EVERY if any(child.output.has_dropped for child in self._children.values()) else None

    def _watch(self, what: int | socket.socket | Messages, then: Callable[[], object], events: int = 1) -> None:
        self._selector.register(what, events, then)

    # Clients

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        client = Messages(sock)
        self._clients.add(client)
        self._watch(client, lambda: self._serve(client))
        children = [{"worker": child.worker, "pid": child.pid} for child in self._children.values()]
        self._send(client, {"op": "hello", "pid": os.getpid(), "children": children})
        untold, self._untold = self._untold, []
        for message in untold:
            self._tell(message)

    def _serve(self, client: Messages) -> None:
        try:
            client.flush()
            for message in client.receive():
                self._obey(message, client)
        except Gone:
            self._drop(client)
            return
        self._watch_writes(client)

    def _obey(self, message: Message, client: Messages) -> None:
        match message.get("op"):
            case "fork":
                self._fork(message.get("spec"), client)
            case "preload":
                self._teach(map(str, message.get("modules", ())))
            case "stop":
                self._stopping = True

    def _teach(self, modules: Iterable[str]) -> None:
        for name in map(str.encode, modules):
            self._order(LEARN, len(name))
            self._stem.sendall(name)

    def _send(self, client: Messages, message: Message) -> bool:
        try:
            client.send(message)
        except Gone:
            self._drop(client)
            return False
        self._watch_writes(client)
        return True

    def _watch_writes(self, client: Messages) -> None:
        if client in self._clients:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.pending else 0)
            key = self._selector.get_key(client)
            if key.events != events:
                self._selector.modify(client, events, key.data)

    def _tell(self, message: Message) -> None:
        """To everyone; kept until one has got it."""
        heard = [self._send(client, message) for client in tuple(self._clients)]
        if not any(heard):
            self._untold.append(message)

    def _drop(self, client: Messages) -> None:
        if client in self._clients:
            self._clients.discard(client)
            self._selector.unregister(client)
            client.close()

    # Children

    def _fork(self, fields: object, client: Messages) -> None:
        name = str(fields.get("worker", "")) if isinstance(fields, dict) else ""
        try:
            if not isinstance(fields, dict):
                raise ValueError("a spec is an object")
            while len(self._births) >= BIRTHS_AT_ONCE:
                # Neither side may ever wait for the other to read.
                self._hear_stem()
            self._births.append(self._ask_for_worker(Spec.of(fields), fields, client))
        except (KeyError, TypeError, ValueError, OSError) as error:
            self._refuse(client, name, f"{type(error).__name__}: {error}")

    def _refuse(self, client: Messages, name: str, why: str) -> None:
        self._send(client, {"op": "refused", "worker": name, "message": why})

    def _ask_for_worker(self, spec: Spec, fields: Message, client: Messages) -> Birth:
        with contextlib.ExitStack() as passed, contextlib.ExitStack() as kept:
            listener = passed.enter_context(contextlib.closing(_listener_for(spec)))
            (out, out_writer), (err, err_writer) = pipes = os.pipe(), os.pipe()
            for reader, writer in pipes:
                kept.callback(os.close, reader)
                passed.callback(os.close, writer)
            # Not in the order itself: it may hold large secrets, and the stem shall not touch what it need not.
            told = file_holding(marshal.dumps(fields))
            passed.callback(os.close, told)
            birth = Birth(spec.worker, client, self._output_of(spec), spec.limits, out, err)
            self._order(FORK, fds=(listener.fileno(), out_writer, err_writer, told))
            kept.pop_all()
        return birth

    def _order(self, kind: bytes, number: int = 0, fds: Sequence[int] = ()) -> None:
        socket.send_fds(self._stem, [ORDER.pack(kind, number)], fds)

    def _hear_stem(self) -> None:
        report = self._stem.recv(REPORT.size)
        if len(report) < REPORT.size:
            # Without it no worker can be made; control starts another zygote, and the workers live on.
            sys.exit("the stem of this environment has ended")
        kind, number, status = REPORT.unpack(report)
        if kind == BORN:
            self._welcome(self._births.popleft(), number)
        elif kind == EXITED:
            self._bury(number, status)
        else:
            birth = self._births.popleft()
            os.close(birth.stdout)
            os.close(birth.stderr)
            self._refuse(birth.client, birth.worker, os.strerror(number))

    def _welcome(self, birth: Birth, pid: int) -> None:
        child = self._children[pid] = Child(pid, birth.worker, birth.output, birth.limits)
        self._listen_to(child, birth.stdout, "stdout")
        self._listen_to(child, birth.stderr, "stderr")
        started = kernel.start_time(pid)
        told = birth.client in self._clients and self._send(
            birth.client, {"op": "forked", "worker": birth.worker, "pid": pid, "started": started}
        )
        if not told:
            # Whoever asked for it is gone, and nobody else knows that it exists.
            self._order(KILL, pid)

    def _output_of(self, spec: Spec) -> Output:
        file = self._files.get(spec.output)
        if file is None:
            file = self._files[spec.output] = OutputFile(spec.output, spec.output_limit)
        return Output(file, Speaker(spec.service, spec.release, spec.worker), Redactor(spec.secrets.items()))

    def _listen_to(self, child: Child, fd: int, stream: Literal["stdout", "stderr"]) -> None:
        os.set_blocking(fd, False)
        child.pipes[fd] = RawLines(child.output, stream)
        self._watch(fd, lambda: self._read_pipe(child, fd))

    def _read_pipe(self, child: Child, fd: int) -> bool:
        """One bounded piece. False when there is nothing more at the moment."""
        try:
            data = os.read(fd, READ_AT_ONCE)
        except BlockingIOError:
            return False
        if data:
            child.pipes[fd].feed(data)
            return True
        self._close_pipe(child, fd)
        return False

    def _close_pipe(self, child: Child, fd: int) -> None:
        self._selector.unregister(fd)
        os.close(fd)
        child.pipes.pop(fd).finish()

    def _look_at_usage(self) -> None:
        """A worker that uses more than it may is ended, with all that it started."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY
        for pid, child in self._children.items():
            if child.is_watched and not child.excess:
                child.excess = _excess(usage_of(pid, enough=child.limits.processes), child.limits)
                if child.excess:
                    self._order(KILL, pid)

    def _was_out_of_memory(self, child: Child, status: int) -> bool:
        """Ended for it by us, or by the kernel, which tells only that it has killed somebody."""
        kills, self._kills = self._kills, kills_for_memory()
        was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        return child.excess == "memory" or (was_killed and self._kills > kills)

    def _bury(self, pid: int, status: int) -> None:
        child = self._children.pop(pid)
        for fd in tuple(child.pipes):
            for _ in range(LAST_READS):
                if not self._read_pipe(child, fd):
                    break
            if fd in child.pipes:
                self._close_pipe(child, fd)
        over = self._was_out_of_memory(child, status)
        if over or child.excess:
            what = "memory" if over else child.excess
            message = f"The worker had more {what} than there was for it, and was killed."
            child.output.write("log", message, level="ERROR", logger="reconciler")
        child.output.settle(final=True)
        self._tell({"op": "exited", "worker": child.worker, "pid": pid, "status": status, "out_of_memory": over})

    def _read_lifeline(self) -> None:
        if not os.read(self._lifeline, 1):
            self._order(END)
            os._exit(0)


def _excess(usage: Usage, limits: Limits) -> Literal["", "memory", "processes"]:
    if limits.memory and usage.memory > limits.memory:
        return "memory"
    return "processes" if limits.processes and usage.processes > limits.processes else ""


def _listener_for(spec: Spec) -> socket.socket:
    """A command hears nobody; but every order comes with as many descriptors."""
    return socket.socket(socket.AF_UNIX) if spec.command else listen(spec.socket)


def listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
    mask = os.umask(0o177)
    try:
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    listener.setblocking(False)
    return listener


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="zygote")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--lifeline-fd", type=int, required=True)
    parser.add_argument("--log", required=True)
    options = parser.parse_args(arguments)
    _redirect(options.log)
    # Its socket is there before it is warm, so that control waits for a greeting and not for a file.
    zygote = Zygote(options.socket, options.lifeline_fd)
    prepare(options.lifeline_fd)
    # And with it all that are forked from here on, whatever they wait for: a service of the same user must neither
    # read what one of them is told later, nor write to what all of them are copies of.
    kernel.seal()
    zygote.beget()
    zygote.run()


def prepare(lifeline: int) -> None:
    """Do first what every worker would otherwise do for the first time."""
    process.prepare()
    rehearse(rounds=1)
    called = code_of_a_worker(lifeline)
    close_up()
    gather(called)
    rehearse()
    freeze()


def _redirect(log: str) -> None:
    os.umask(0o077)
    nothing = os.open(os.devnull, os.O_RDONLY)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(nothing, 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(nothing)
    os.close(file)
