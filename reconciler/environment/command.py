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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from reconciler.environment.failures import disk_full, out_of_time, unusable
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
    process = await _spawn(arguments, environ, folder, bounds)
    listening = asyncio.create_task(_listen(process, heard))
    try:
        async with asyncio.timeout(bounds.seconds):
            while not (await asyncio.wait({listening}, timeout=LOOK))[0]:
                _check_room(folder, bounds)
            out, words = await listening
            if words.startswith("setpriv: "):
                raise unusable(words.partition(": ")[2].strip())
            return Ran(await process.wait(), out, words)
    except TimeoutError:
        raise out_of_time(Path(arguments[0]).name, bounds.seconds) from None
    finally:
        await _end(process, listening)


async def _spawn(
    arguments: Sequence[str], environ: Mapping[str, str], folder: Path, bounds: Bounds
) -> asyncio.subprocess.Process:
    try:
        process = await asyncio.create_subprocess_exec(
            *_leash(),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environ,
            cwd=folder,
            process_group=0,
        )
    except OSError as error:
        raise unusable(error.strerror or str(error)) from None
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, bounds.nice)
        if hasattr(resource, "prlimit"):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    return process


def _leash() -> tuple[str, ...]:
    """`preexec_fn` could ask for the same, but forks a process that has threads."""
    found = shutil.which("setpriv")
    return (found, "--pdeathsig", "KILL", "--") if found else ()


async def _listen(process: asyncio.subprocess.Process, heard: Callable[[str], object]) -> tuple[str, str]:
    output, words = cast("asyncio.StreamReader", process.stdout), cast("asyncio.StreamReader", process.stderr)
    return await asyncio.gather(_output(output), _words(words, heard))


async def _output(stream: asyncio.StreamReader) -> str:
    kept = bytearray()
    while chunk := await stream.read(65536):
        kept += chunk[: max(OUTPUT - len(kept), 0)]
    return kept.decode(errors="replace")


async def _words(stream: asyncio.StreamReader, heard: Callable[[str], object]) -> str:
    kept, rest = bytearray(), b""
    while chunk := await stream.read(4096):
        kept += chunk
        del kept[:-WORDS]
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[-4096:]
        for line in lines:
            heard(line.decode(errors="replace"))
    return kept.decode(errors="replace")


async def _end(process: asyncio.subprocess.Process, listening: asyncio.Task[tuple[str, str]]) -> None:
    listening.cancel()
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await asyncio.wait({listening, asyncio.ensure_future(process.wait())})


def _check_room(folder: Path, bounds: Bounds) -> None:
    if shutil.disk_usage(folder).free < bounds.spare:
        raise disk_full()
