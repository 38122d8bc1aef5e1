"""One run of another program: bounded in time, in output and in disk, and never left behind.

It gets an environment made for it, no terminal, a folder of its own, and a process group, so that
whatever it started ends with it. If we are killed, the kernel kills it too where it can be asked to.
"""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reconciler.environment.failures import disk_full, out_of_time, unusable
from reconciler.leash import leash
from reconciler.model.progress import silent

OUTPUT = 16 * 1024 * 1024
WORDS = 64 * 1024
LARGEST_FILE = 8 * 1024**3
LOOK = 0.25


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    words: str
    """What it said on its error output."""


@dataclass(frozen=True, slots=True)
class Bounds:
    seconds: float = 600.0
    spare: int = 64 * 1024 * 1024
    """Octets the disk must keep free: the platform's own journal lives there too."""
    memory: int | None = None
    nice: int = 0


async def run(
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str],
    folder: Path,
    bounds: Bounds,
    heard: Callable[[str], object] = silent,
) -> Ran:
    _check_room(folder, bounds)
    process = _spawn(arguments, environ, folder, bounds)
    listening = asyncio.create_task(_listen(process, heard))
    try:
        async with asyncio.timeout(bounds.seconds):
            while not (await asyncio.wait({listening}, timeout=LOOK))[0]:
                _check_room(folder, bounds)
            return await listening
    except TimeoutError:
        raise out_of_time(Path(arguments[0]).name, bounds.seconds) from None
    finally:
        await _end(process, listening)


def _spawn(
    arguments: Sequence[str], environ: Mapping[str, str], folder: Path, bounds: Bounds
) -> "subprocess.Popen[bytes]":
    """By hand: asyncio's own way to start a process may wait for ever when it is cancelled meanwhile."""
    try:
        process = subprocess.Popen(
            [*leash(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            cwd=folder,
            process_group=0,
        )
    except OSError as error:
        raise unusable(error.strerror or str(error)) from None
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, bounds.nice)
        _limit(process.pid, resource.RLIMIT_FSIZE, LARGEST_FILE)
        _limit(process.pid, resource.RLIMIT_AS, bounds.memory)
    return process


def _limit(pid: int, kind: int, most: int | None) -> None:
    if most is not None and hasattr(resource, "prlimit"):
        resource.prlimit(pid, kind, (most, most))


async def _listen(process: "subprocess.Popen[bytes]", heard: Callable[[str], object]) -> Ran:
    out, words, ears = _Kept(OUTPUT), _Kept(WORDS), _Lines(heard)
    await asyncio.gather(_read(process.stdout, out.take), _read(process.stderr, words.take, ears.take))
    code = await asyncio.to_thread(process.wait)
    if words.text.startswith("setpriv: "):
        raise unusable(words.text.partition(": ")[2].strip())
    return Ran(code, out.text, words.text)


async def _read(pipe: IO[bytes] | None, *takers: Callable[[bytes], object]) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        while chunk := await reader.read(65536):
            for take in takers:
                take(chunk)
    finally:
        transport.close()


class _Kept:
    """The first so many octets."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._octets = bytearray()

    def take(self, chunk: bytes) -> None:
        self._octets += chunk[: self._most - len(self._octets)]

    @property
    def text(self) -> str:
        return self._octets.decode(errors="replace")


class _Lines:
    """Tells each line as it ends."""

    def __init__(self, heard: Callable[[str], object]) -> None:
        self._heard = heard
        self._rest = b""

    def take(self, chunk: bytes) -> None:
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[-WORDS:]
        for line in lines:
            self._heard(line.decode(errors="replace"))


async def _end(process: "subprocess.Popen[bytes]", listening: asyncio.Task[Ran]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    listening.cancel()
    await asyncio.wait({listening})
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _check_room(folder: Path, bounds: Bounds) -> None:
    if shutil.disk_usage(folder).free < bounds.spare:
        raise disk_full()
