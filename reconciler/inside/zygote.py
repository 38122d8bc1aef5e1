"""The fork server of one environment: Python with the framework imported and warm, waiting to become workers.

It runs nothing of any service and has one thread, so that a fork is always safe. What it has imported is frozen out
of the collector's sight: a worker that never touches those pages never pays for them. It reads what its workers' C
code and child processes print, and says when a worker has ended. When the platform is gone (the lifeline's end of
file) it ends them all.
"""

import argparse
import contextlib
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

from . import kernel, worker
from .messages import Gone, Message, Messages
from .output import NOTICE_EVERY, Output, OutputFile, RawLines, Speaker
from .redaction import Redactor
from .rehearsal import rehearse
from .spec import Spec

READ_AT_ONCE = 64 * 1024
BACKLOG = 128
PRELOAD_SECONDS = 30
EXIT_UNFIT = 4


@dataclass(eq=False)
class Child:
    pid: int
    worker: str
    output: Output
    pipes: dict[int, RawLines] = field(default_factory=dict)


class Zygote:
    def __init__(self, socket_path: str, lifeline: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = listen(socket_path)
        self._lifeline = lifeline
        self._clients: set[Messages] = set()
        self._children: dict[int, Child] = {}
        self._probes: dict[int, str] = {}
        self._files: dict[str, OutputFile] = {}
        self._untold: list[Message] = []
        self._wanted: list[str] = []
        self._stopping = False
        self._wakeup, self._wakeup_sender = socket.socketpair()

    def run(self) -> None:
        self._watch(self._listener, self._accept)
        self._watch(self._lifeline, self._read_lifeline)
        self._watch(self._wakeup, self._reap)
        for end in (self._wakeup, self._wakeup_sender):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup_sender.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while not (self._stopping and not self._children):
            for key, _ in self._selector.select(self._patience()):
                # What an earlier one of the same round closed is not asked any more, nor who got its number since.
                if self._selector.get_map().get(key.fd) is key:
                    key.data()
            for child in self._children.values():
                child.output.settle()
            self._preload_one()

    def _patience(self) -> float | None:
        """For how long there is nothing to do unless something happens."""
        if self._wanted:
            return 0.05
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
                self._wanted += [name for name in map(str, message.get("modules", ())) if name not in self._wanted]
            case "stop":
                self._stopping = True

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
            spec = Spec.of(fields)
            child = self._give_birth(spec)
        except (KeyError, TypeError, ValueError, OSError) as error:
            message = f"{type(error).__name__}: {error}"
            self._send(client, {"op": "refused", "worker": name, "message": message})
            return
        self._children[child.pid] = child
        started = kernel.start_time(child.pid)
        told = self._send(client, {"op": "forked", "worker": spec.worker, "pid": child.pid, "started": started})
        if not told:
            # Whoever asked for it is gone, and nobody else knows that it exists.
            os.kill(child.pid, signal.SIGKILL)

    def _give_birth(self, spec: Spec) -> Child:
        with contextlib.ExitStack() as for_child:
            listener = for_child.enter_context(contextlib.closing(listen(spec.socket)))
            out_reader, out_writer = os.pipe()
            for_child.callback(os.close, out_writer)
            err_reader, err_writer = os.pipe()
            for_child.callback(os.close, err_writer)
            try:
                output = self._output_of(spec)
                pid = os.fork()
            except OSError:
                os.close(out_reader)
                os.close(err_reader)
                raise
            if pid == 0:
                os.close(out_reader)
                os.close(err_reader)
                self._become(spec, worker.Inheritance(listener, self._lifeline, out_writer, err_writer))
        child = Child(pid, spec.worker, output)
        self._listen_to(child, out_reader, "stdout")
        self._listen_to(child, err_reader, "stderr")
        return child

    def _become(self, spec: Spec, inheritance: worker.Inheritance) -> NoReturn:
        """The first thing a worker does: forget that it was a zygote."""
        status = 1
        try:
            self._forget()
            worker.run(spec, inheritance)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _forget(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        self._listener.close()
        self._wakeup.close()
        self._wakeup_sender.close()
        for client in self._clients:
            client.close()
        for child in self._children.values():
            for fd in child.pipes:
                os.close(fd)
        # With what is to be taken out of their output: nobody's secrets but its own are a worker's business.
        self._children.clear()
        for file in self._files.values():
            file.close()

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

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wakeup.recv(4096)
        for pid in tuple(self._probes):
            status = end_of(pid)
            if status is not None:
                self._import(self._probes.pop(pid), status)
        for pid in tuple(self._children):
            status = end_of(pid)
            if status is not None:
                self._bury(pid, status)

    def _bury(self, pid: int, status: int) -> None:
        child = self._children.pop(pid)
        for fd in tuple(child.pipes):
            while self._read_pipe(child, fd):
                pass
            if fd in child.pipes:
                self._close_pipe(child, fd)
        child.output.settle(final=True)
        self._tell({"op": "exited", "worker": child.worker, "pid": pid, "status": status})

    def _read_lifeline(self) -> None:
        if os.read(self._lifeline, 1):
            return
        for pid in self._children:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        os._exit(0)

    # Learning

    def _preload_one(self) -> None:
        """A child tries the import first.

        A module that starts a thread would make every later fork unsafe, and one that asks for environment variables
        would not find those of the service.
        """
        if not self._wanted or self._probes:
            return
        name = self._wanted.pop(0)
        if name in sys.modules:
            return
        pid = os.fork()
        if pid == 0:
            self._probe(name)
        self._probes[pid] = name

    def _probe(self, name: str) -> NoReturn:
        status = 1
        try:
            self._forget()
            signal.alarm(PRELOAD_SECONDS)
            asked = note_what_is_asked_of_the_environment()
            importlib.import_module(name)
            has_threads = threading.active_count() > 1 or kernel.thread_count() > 1
            status = EXIT_UNFIT if has_threads or asked else 0
        finally:
            os._exit(status)

    def _import(self, name: str, status: int) -> None:
        if status != 0:
            return
        with contextlib.suppress(BaseException):
            importlib.import_module(name)
            worker.PRELOADED.add(name)
        freeze()


def note_what_is_asked_of_the_environment() -> list[str]:
    """From now on, in this process."""
    asked: list[str] = []
    kind = type(os.environ)
    plain = kind.__getitem__

    def noted(environ: "os._Environ[str]", name: str) -> str:
        asked.append(name)
        return plain(environ, name)

    kind.__getitem__ = noted  # type: ignore[method-assign]
    return asked


def end_of(pid: int) -> int | None:
    """The wait status of a child that has ended; what it had started ends with it."""
    # As long as it is not waited for, its number is its own, and so is its process group.
    if hasattr(os, "waitid"):
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
    ended, status = os.waitpid(pid, os.WNOHANG)
    return status if ended else None


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


def freeze() -> None:
    """Leave the workers memory that stays shared: nothing for the collector to visit, no holes to write into."""
    gc.collect()
    FILLING.extend(_fill_holes())
    gc.freeze()
    gc.disable()


FILLING: list[bytes] = []
POOL = 16 * 1024
LARGEST_SMALL = 512
HOLES = 4_000


def _fill_holes() -> Iterator[bytes]:
    """Small objects until the allocator begins an empty pool, for each of its sizes.

    Otherwise a worker's own objects would be scattered over pages that are half full and shared until then: a megabyte.
    """
    header = sys.getsizeof(b"")
    for size in range(48, LARGEST_SMALL + 1, 16):
        neighbours, last = 0, 0
        for _ in range(HOLES):
            filling = bytes(size - header)
            neighbours = neighbours + 1 if id(filling) == last + size else 0
            last = id(filling)
            yield filling
            if neighbours >= POOL // size - 2:
                break


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="zygote")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--lifeline-fd", type=int, required=True)
    parser.add_argument("--log", required=True)
    options = parser.parse_args(arguments)
    _redirect(options.log)
    # Its socket is there before it is warm, so that control waits for a greeting and not for a file.
    zygote = Zygote(options.socket, options.lifeline_fd)
    rehearse()
    freeze()
    zygote.run()


def _redirect(log: str) -> None:
    os.umask(0o077)
    nothing = os.open(os.devnull, os.O_RDONLY)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(nothing, 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(nothing)
    os.close(file)
