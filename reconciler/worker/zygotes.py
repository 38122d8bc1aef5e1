"""The zygotes of this platform: one for each environment, found again or started when first needed.

The next control finds a zygote by its socket, unless that one runs older code of ours; where there is none any more,
another is started for the next fork.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reconciler import inside
from reconciler.model.failure import Failure, Reason, Stalled, Wait
from reconciler.model.names import EnvironmentId
from reconciler.worker.diary import Diary
from reconciler.worker.lines import Lines
from reconciler.worker.zygote import START_TIMEOUT, Zygote

log = logging.getLogger(__name__)

INSIDE = Path(inside.__file__).parent
PASSED_ON = ("LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Nursery:
    """What every zygote of this platform shares."""

    run: Path
    logs: Path
    lifeline: int


class Broken(Exception):
    """The environment's Python does not run."""

    def __init__(self, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.detail = detail


class Zygotes:
    def __init__(self, nursery: Nursery, mend: Callable[[EnvironmentId], Awaitable[object]] | None = None) -> None:
        """An environment whose Python does not run is built anew by `mend`, once; when that is no cure, a person is
        needed."""
        self._nursery = nursery
        self._mend = mend
        self._mended: set[EnvironmentId] = set()
        """Built anew, and not seen to run since."""
        self._starting: dict[EnvironmentId, asyncio.Task[Zygote]] = {}

    async def of(self, environment: EnvironmentId, python: Path) -> Zygote:
        task = self._starting.get(environment)
        if task is None or (task.done() and not _still_good(task)):
            task = self._starting[environment] = asyncio.create_task(self._find_or_start(environment, python))
        # Several services wait for one start: the one that is cancelled must not take it from the others.
        return await asyncio.shield(task)

    def was_started(self, environment: EnvironmentId) -> bool:
        """By this control or by one before it, which may be over."""
        return self._socket(environment).exists()

    def stop_others(self, needed: frozenset[EnvironmentId]) -> None:
        """End the zygotes of environments that nothing runs in any more."""
        for environment in self._starting.keys() - needed:
            task = self._starting[environment]
            if not task.done():
                continue
            if _still_good(task):
                task.result().stop()
            del self._starting[environment]

    async def ended(self) -> None:
        """Wait until all of them are gone: for whoever has let the lifeline go."""
        for task in self._starting.values():
            with contextlib.suppress(Failure):
                await (await asyncio.shield(task)).ended()

    async def _find_or_start(self, environment: EnvironmentId, python: Path) -> Zygote:
        socket = self._socket(environment)
        self._nursery.logs.mkdir(parents=True, exist_ok=True)
        diary = Diary.begin(self._nursery.logs / "zygote.log")
        with contextlib.suppress(OSError):
            return Zygote(await Lines.connect(socket), None, diary)
        socket.unlink(missing_ok=True)
        try:
            zygote = await self._start(python, socket, diary)
        except Broken as broken:
            zygote = await self._start_mended(environment, python, broken)
        self._mended.discard(environment)
        return zygote

    async def _start_mended(self, environment: EnvironmentId, python: Path, broken: Broken) -> Zygote:
        if self._mend is None:
            raise Wait(Reason.START_FAILED, str(broken), detail=broken.detail)
        if environment not in self._mended:
            log.warning("an environment does not work and is built anew", extra={"environment": environment})
            await self._mend(environment)
            self._mended.add(environment)
            diary = Diary.begin(self._nursery.logs / "zygote.log")
            try:
                return await self._start(python, self._socket(environment), diary)
            except Broken as again:
                broken = again
        message = f"{broken}, also after the environment was built anew"
        raise Stalled(Reason.START_FAILED, message, detail=broken.detail)

    def _socket(self, environment: EnvironmentId) -> Path:
        return self._nursery.run / f"z-{_generation(environment)}.sock"

    async def _start(self, python: Path, socket: Path, diary: Diary) -> Zygote:
        try:
            process = await asyncio.to_thread(_spawn, python, socket, self._nursery.lifeline, diary.file)
        except OSError as error:
            raise Broken(f"the environment's Python could not be started: {error.strerror}: {python}") from error
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT
        while asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(OSError):
                return Zygote(await Lines.connect(socket), process, diary)
            if process.poll() is not None:
                raise Broken(
                    f"the environment's Python ended with {process.returncode} before it could fork workers",
                    diary.tail(),
                )
            await asyncio.sleep(0.005)
        process.kill()
        raise Wait(Reason.START_FAILED, "the environment's Python took too long to import the framework")


def _spawn(python: Path, socket: Path, lifeline: int, log: Path) -> "subprocess.Popen[bytes]":
    environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environ |= {"PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin", "LANG": environ.get("LANG", "C.UTF-8")}
    command = [str(python), "-I", str(INSIDE), "zygote", "--socket", str(socket)]
    command += ["--lifeline-fd", str(lifeline), "--log", str(log)]
    with log.open("ab") as output:
        # A session of its own: a terminal's Ctrl-C is for the supervisor alone.
        return subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(lifeline,),
            start_new_session=True,
            cwd="/",
        )


def _still_good(task: "asyncio.Task[Zygote]") -> bool:
    return not task.cancelled() and task.exception() is None and task.result().alive


def _generation(environment: EnvironmentId) -> str:
    """A zygote that runs older code of ours is not found again after an upgrade; it ends with its workers."""
    return hashlib.sha256(f"{environment}{_inside_version()}".encode()).hexdigest()[:12]


@cache
def _inside_version() -> str:
    sources = sorted(INSIDE.rglob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
