"""The first process: it owns what must not die, and keeps two others alive.

It holds the data folder's lock, both listening sockets, the run folder and the write end of the lifeline, a
pipe on which nothing is ever written: its end-of-file tells every process of the platform that the
supervisor is gone. It starts gateway and control, starts them again when they die, and adopts and reaps
whatever loses its parent. Refuses to do anything long, to import anything beyond the standard library, and
to know what a service is: the less it does, the less it can die of.
"""

import contextlib
import ctypes
import logging
import os
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from reconciler.data_folder import OWN_LOG, Address, DataFolder, write_whole
from reconciler.listener import listen, url
from reconciler.log import keep
from reconciler.settings import Settings

GATEWAY = "gateway"
CONTROL = "control"
PROGRAMS: Mapping[str, Sequence[str]] = {
    # -P: the current folder is somebody's repository, and must not shadow our modules.
    GATEWAY: (sys.executable, "-P", "-m", "reconciler.gateway"),
    CONTROL: (sys.executable, "-P", "-m", "reconciler.app"),
}

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
STEADY_AFTER = 60.0
"""A process that lived this long starts with a clean slate when it dies."""
DRAIN_WITHIN = 600.0
"""Each service's own drain is shorter; this only ends a shutdown that hangs."""
DRAIN_STARTS = 1
"""How often a control that is not there, or dies over it, is started so that somebody drains the workers."""
GATEWAY_STOPS_WITHIN = 10.0
REST_ENDS_WITHIN = 0.5
"""After the lifeline is cut everything ends by itself, at once; whatever does not is killed."""
PORT_FREES_WITHIN = 3.0
MOST_FILES = 1 << 20
"""Where the hard limit is "unlimited"; some programs walk through all numbers up to their limit."""
GOOD, NOT_GOOD, WRONG_CONFIGURATION = 0, 1, 2
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PR_SET_CHILD_SUBREAPER = 36

log = logging.getLogger("reconciler.supervisor")


def serve(settings: Settings, programs: Mapping[str, Sequence[str]] = PROGRAMS) -> int:
    """Run the platform until a signal ends it; the answer is the exit code."""
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(Signals())
        folder = DataFolder(settings.data)
        stack.callback(folder.close)
        keep(settings.data / OWN_LOG, "supervisor")
        patience = PORT_FREES_WITHIN if folder.clear_predecessor() else 0.0
        services = stack.enter_context(listen(settings.host, settings.port, "--port", patience))
        control = stack.enter_context(listen(settings.host, settings.control_port, "--control-port", patience))
        settings = replace(settings, port=services.getsockname()[1], control_port=control.getsockname()[1])

        run = folder.make_run_folder()
        stack.callback(folder.forget_run_folder)
        stack.callback(shutil.rmtree, run, ignore_errors=True)
        # In a file rather than on the command line: an index's address may hold a password.
        write_whole(run / "settings.json", settings.to_json())
        address = Address(url(settings.host, settings.control_port), url(settings.host, settings.port), os.getpid())
        folder.announce(address)
        folder.remember(settings.repository, settings.branch)
        stack.callback(folder.withdraw)

        lifeline = stack.enter_context(Lifeline())
        _adopt_orphans()
        _raise_file_limit()
        log.info("listening  services=%s control=%s", address.services, address.control)
        flags = ("--lifeline-fd", str(lifeline.reader), "--run", str(run))
        own_log = ("--log", str(settings.data.absolute() / OWN_LOG))
        gateway_command = (*programs[GATEWAY], "--listen-fd", str(services.fileno()), *flags, *own_log)
        control_command = (*programs[CONTROL], "--listen-fd", str(control.fileno()), *flags)
        return Supervisor(
            gateway=Child(GATEWAY, gateway_command, (services.fileno(), lifeline.reader)),
            control=Child(
                CONTROL,
                (*control_command, "--settings", str(run / "settings.json")),
                (control.fileno(), lifeline.reader, folder.lock),
                holds=frozenset({signal.SIGTERM}),
            ),
            lifeline=lifeline,
            signals=signals,
        ).run()


class Signals:
    """Signals as something to wait for: each arrives as a byte, none interrupts anything."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def __enter__(self) -> "Signals":
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        # nohup's wish is kept: what was ignored stays ignored.
        heard = [
            number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP
        ]
        self._before = {number: signal.signal(number, _only_noted) for number in (*heard, signal.SIGCHLD)}
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, before in self._before.items():
            signal.signal(number, before)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        return self._reader.fileno()

    def take(self) -> bytes:
        try:
            return self._reader.recv(4096)
        except BlockingIOError:
            return b""


def _only_noted(_number: int, _frame: object) -> None:
    """A handler has to exist for the wake-up byte to be written."""


class Lifeline:
    """A pipe that says "the platform lives" by staying open."""

    def __enter__(self) -> "Lifeline":
        self.reader, self._writer = os.pipe()
        self._whole = True
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        os.close(self.reader)

    def cut(self) -> None:
        if self._whole:
            self._whole = False
            os.close(self._writer)


@dataclass(slots=True)
class Child:
    """A process that is to exist, whether or not it does at the moment."""

    name: str
    command: tuple[str, ...]
    inherits: tuple[int, ...]
    holds: frozenset[signal.Signals] = frozenset()
    """Signals that wait until it is able to hear them; it lets them in itself."""
    process: subprocess.Popen[bytes] | None = None
    due: float = 0.0
    pause: float = 0.0
    started: float = 0.0
    was_steady: bool = False

    def start(self, now: float) -> None:
        self.started = now
        try:
            with held(self.holds):
                # A session of its own: a terminal's Ctrl-C is for the supervisor, which ends things in order.
                self.process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    pass_fds=self.inherits,
                    start_new_session=True,
                    env=_environment(),
                )
        except OSError as error:
            log.error("%s could not be started  error=%s", self.name, error.strerror)
            self.ended(now)

    def ended(self, now: float) -> None:
        """Note the end and when to start again: at once the first time, ever later when it repeats."""
        self.process = None
        if now - self.started >= STEADY_AFTER:
            self.was_steady = True
            self.pause = 0.0
        self.due = now + self.pause
        self.pause = min(max(self.pause * 2, FIRST_PAUSE), LONGEST_PAUSE)

    def send(self, number: signal.Signals) -> None:
        # Not reaped yet, or `process` would be None: the number cannot belong to anybody else.
        if self.process is not None:
            os.kill(self.process.pid, number)


@contextlib.contextmanager
def held(signals: frozenset[signal.Signals]) -> Iterator[None]:
    """What is started meanwhile begins with these signals blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Phase(Enum):
    SERVING = "serving"
    DRAINING = "draining"
    CLOSING = "closing"
    OVER = "over"


class Supervisor:
    def __init__(self, *, gateway: Child, control: Child, lifeline: Lifeline, signals: Signals) -> None:
        self._gateway = gateway
        self._control = control
        self._lifeline = lifeline
        self._signals = signals
        self._phase = Phase.SERVING
        self._deadline: float | None = None
        self._is_drained = False
        self._drain_starts = DRAIN_STARTS
        self._exit_code = GOOD

    def run(self) -> int:
        with selectors.DefaultSelector() as selector:
            selector.register(self._signals, selectors.EVENT_READ)
            while self._phase is not Phase.OVER:
                self._tend(time.monotonic())
                selector.select(self._idle_for(time.monotonic()))
                for number in self._signals.take():
                    self._hear(number)
                for pid, code in _reap():
                    self._note_end(pid, code)
            self._end_rest(selector)
        return self._exit_code

    @property
    def _children(self) -> tuple[Child, Child]:
        return self._gateway, self._control

    def _tend(self, now: float) -> None:
        if self._phase is Phase.SERVING:
            for child in self._children:
                if child.process is None and child.due <= now:
                    child.start(now)
        elif self._phase is Phase.DRAINING:
            self._tend_draining(now)
        if self._phase is Phase.CLOSING and self._gateway.process is None:
            self._phase = Phase.OVER
        elif self._deadline is not None and now >= self._deadline:
            log.error("the shutdown took too long, ending it  phase=%s", self._phase.value)
            self._give_up(NOT_GOOD)

    def _tend_draining(self, now: float) -> None:
        """Only control can ask the workers to finish, and it waits for a gateway that takes their connections back."""
        if self._gateway.process is None and self._gateway.due <= now:
            self._gateway.start(now)
        if self._control.process is not None:
            return
        if not self._is_drained and self._drain_starts > 0:
            self._drain_starts -= 1
            self._control.start(now)
            self._control.send(signal.SIGTERM)
            return
        if not self._is_drained:
            self._exit_code = NOT_GOOD
        self._gateway.send(signal.SIGTERM)
        self._enter(Phase.CLOSING, GATEWAY_STOPS_WITHIN)

    def _idle_for(self, now: float) -> float | None:
        if self._phase is Phase.OVER:
            return 0.0
        tended = {Phase.SERVING: self._children, Phase.DRAINING: (self._gateway,)}.get(self._phase, ())
        moments = [child.due for child in tended if child.process is None]
        if self._deadline is not None:
            moments.append(self._deadline)
        return max(0.0, min(moments) - now) if moments else None

    def _hear(self, number: int) -> None:
        if number not in STOPPING:
            return
        if self._phase is Phase.SERVING:
            log.info("stopping, once what began is finished  signal=%s", signal.Signals(number).name)
            self._enter(Phase.DRAINING, DRAIN_WITHIN)
            self._control.send(signal.SIGTERM)
        else:
            log.info("stopping at once  signal=%s", signal.Signals(number).name)
            self._give_up(NOT_GOOD)

    def _note_end(self, pid: int, code: int) -> None:
        for child in self._children:
            if child.process is not None and child.process.pid == pid:
                child.process.returncode = code
                child.ended(time.monotonic())
                self._judge(child, code)

    def _judge(self, child: Child, code: int) -> None:
        if self._phase is not Phase.SERVING:
            if child is self._control:
                self._is_drained = code == 0
                if not self._is_drained:
                    log.error("control ended before everything was drained  code=%d", code)
            return
        if child is self._control and code == WRONG_CONFIGURATION and not child.was_steady:
            # It has said why. Once it has served well, such an end is a riddle, and traffic must not pay for it.
            self._give_up(WRONG_CONFIGURATION)
            return
        after = max(0.0, child.due - time.monotonic())
        log.warning("%s ended and is started again  code=%d after=%.1fs", child.name, code, after)

    def _enter(self, phase: Phase, within: float) -> None:
        self._phase = phase
        self._deadline = time.monotonic() + within

    def _give_up(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self._phase = Phase.OVER

    def _end_rest(self, selector: selectors.BaseSelector) -> None:
        """Leave nothing behind: descendants end with the lifeline, and those that do not are killed."""
        self._lifeline.cut()
        for child in self._children:
            child.send(signal.SIGKILL)
        began = time.monotonic()
        while (waited := time.monotonic() - began) < 10 * REST_ENDS_WITHIN:
            for pid, code in _reap():
                self._note_end(pid, code)
            if not _has_children():
                return
            if waited > REST_ENDS_WITHIN:
                for pid in _children_of(os.getpid()):
                    os.kill(pid, signal.SIGKILL)
            selector.select(0.05)
            self._signals.take()


def _environment() -> dict[str, str]:
    """Let `-P` find us in a source checkout too, where nothing is installed."""
    root = str(Path(__file__).parent.parent)
    if Path(root).name in ("site-packages", "dist-packages"):
        return dict(os.environ)
    path = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def _adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies (Linux); elsewhere init does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _raise_file_limit() -> None:
    """Ten thousand idle connections need more descriptors than the usual soft limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = hard if 0 < hard < MOST_FILES else MOST_FILES
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


def _reap() -> Iterator[tuple[int, int]]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _children_of(parent: int) -> Iterator[int]:
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The second field is the program's own name in parentheses, and may hold anything.
            fields = status.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[1]) == parent:
                yield int(status.parent.name)
