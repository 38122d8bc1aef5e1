"""The process that workers are copies of, and that does as little as possible besides.

What it writes to between two forks ceases to be shared by the workers: each gets a page of its own. So all that takes
a thought is done by the zygote, its parent, and here an order comes in, a fork is made, a number goes out. It also
reaps, and it learns: what services of its environment import, it imports before the next fork. Once it had something
to do, and then rests, it keeps a spare: a worker that waits for whose it is going to be.
"""

import contextlib
import importlib
import marshal
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

from . import command, kernel, process
from .layout import freeze
from .spare import PASSED, Spare
from .spec import Spec
from .worker import Inheritance

ORDER = struct.Struct("=ci")
FORK, LEARN, KILL, END = b"f", b"l", b"k", b"e"
"""With four descriptors and nothing; the length of a name that follows; a pid; nothing."""

REPORT = struct.Struct("=cii")
BORN, REFUSED, EXITED = b"b", b"r", b"x"
"""A pid; an errno; a pid and its wait status."""

PRELOAD_SECONDS = 30
EXIT_UNFIT = 4
REST = 0.05
"""After so long without an order there is time for a spare."""
KEPT = 600.0
"""So long a spare is kept that nobody asks for: who changes a service often changes it again."""


class Stem:
    def __init__(self, zygote: socket.socket, lifeline: int) -> None:
        self._zygote = zygote
        self._lifeline = lifeline
        self._wakeup, self._wakeup_sender = os.pipe()
        self._workers: set[int] = set()
        self._wanted: list[str] = []
        self._probe: int | None = None
        self._spare: Spare | None = None
        self._dismissed: set[int] = set()
        """Spares that went without a service, and have not ended yet."""
        self._due: float | None = None
        """When to make a spare, or to do without the one there is."""

    def run(self) -> NoReturn:
        kernel.rename("stem")
        for end in (self._wakeup, self._wakeup_sender):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wakeup_sender, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _nothing)
        sources = (self._zygote.fileno(), self._wakeup)
        while True:
            ready, _, _ = select.select(sources, (), (), self._patience())
            if not ready:
                self._see_to_spare()
            if self._wakeup in ready:
                self._reap()
            if sources[0] in ready:
                self._obey()

    def _obey(self) -> None:
        order, fds, _, _ = socket.recv_fds(self._zygote, ORDER.size, PASSED)
        if len(order) < ORDER.size:
            # The zygote is gone. Its workers live on; nobody can ask for more.
            os._exit(0)
        kind, number = ORDER.unpack(order)
        if kind == FORK:
            self._fork(fds)
        elif kind == LEARN:
            self._wanted.append(self._zygote.recv(number, socket.MSG_WAITALL).decode())
            self._learn()
        elif kind == KILL:
            self._kill(number)
        else:
            for pid in tuple(self._workers):
                self._kill(pid)
            # A spare sees that nobody can ask for it any more.
            os._exit(0)

    def _fork(self, fds: Sequence[int]) -> None:
        try:
            pid = self._take_spare(fds) or os.fork()
        except OSError as error:
            self._report(REFUSED, error.errno or 0, 0)
        else:
            if pid == 0:
                self._forget()
                self._become(*fds)
            self._workers.add(pid)
            self._report(BORN, pid, 0)
        for fd in fds:
            os.close(fd)
        self._due = time.monotonic() + REST

    def _become(self, listener: int, stdout: int, stderr: int, spec: int) -> NoReturn:
        try:
            told = Spec.of(marshal.loads(_content(spec)))  # noqa: S302 - our own parent wrote it
            if told.command:
                command.run(told, stdout, stderr)
            process.run(told, Inheritance(socket.socket(fileno=listener), self._lifeline, stdout, stderr))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)

    def _forget(self) -> None:
        """The first thing that a child does."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self._wakeup)
        os.close(self._wakeup_sender)
        self._zygote.close()
        if self._spare is not None:
            self._spare.dismiss()

    def _kill(self, pid: int) -> None:
        # As long as it was not reaped, its number is its own.
        if pid in self._workers:
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(OSError):
                    kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, 4096)
        for pid in tuple(self._workers):
            status = end_of(pid)
            if status is not None:
                self._workers.discard(pid)
                self._report(EXITED, pid, status)
        self._dismissed = {pid for pid in self._dismissed if end_of(pid) is None}
        if self._spare is not None and end_of(self._spare.pid) is not None:
            self._lose_spare(self._spare)
        if self._probe is not None and (status := end_of(self._probe)) is not None:
            self._probe = None
            self._import(self._wanted.pop(0), status)
            self._learn()

    def _report(self, kind: bytes, number: int, status: int) -> None:
        with contextlib.suppress(OSError):
            self._zygote.send(REPORT.pack(kind, number, status))

    # The spare

    def _patience(self) -> float | None:
        return None if self._due is None else max(0.0, self._due - time.monotonic())

    def _see_to_spare(self) -> None:
        """There has been nothing to do since it became due."""
        if self._spare is not None:
            self._dismiss_spare()
            self._due = None
            return
        self._due = time.monotonic() + KEPT
        with contextlib.suppress(OSError):
            self._spare = Spare.bear(self._forget, self._become)

    def _take_spare(self, fds: Sequence[int]) -> int | None:
        spare, self._spare = self._spare, None
        if spare is None:
            return None
        if spare.give(fds):
            return spare.pid
        self._dismissed.add(spare.pid)
        return None

    def _dismiss_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.dismiss()
            self._dismissed.add(spare.pid)

    def _lose_spare(self, spare: Spare) -> None:
        """Somebody killed it; whoever did may need the memory."""
        spare.dismiss()
        self._spare = self._due = None

    # Learning

    def _learn(self) -> None:
        """A child tries the import first.

        A module that starts a thread would make every later fork unsafe, and one that asks for environment variables
        would not find those of the service.
        """
        while self._wanted and self._wanted[0] in sys.modules:
            self._wanted.pop(0)
        if not self._wanted or self._probe is not None:
            return
        self._probe = os.fork()
        if self._probe == 0:
            self._try_import(self._wanted[0])

    def _try_import(self, name: str) -> NoReturn:
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
            process.PRELOADED.add(name)
        freeze()
        # It has not learnt this.
        self._dismiss_spare()
        self._due = time.monotonic() + REST


def _content(file: int) -> bytes:
    try:
        return os.pread(file, os.fstat(file).st_size, 0)
    finally:
        os.close(file)


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


def _nothing(*_: object) -> None:
    return
