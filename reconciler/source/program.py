"""The git program, kept on a short lead.

Arguments and options are ours and fixed, the environment holds only what is named here, output is read up
to a limit, and the whole process group ends when the time is up or whoever waits stops waiting. It ends with us
when we are killed: alone it would bring a commit that was newest once, after the next of us brought a newer one.
GitPython's own way of starting git hands it the server's whole environment and cannot end its children, hence this.
Refuses to go through a shell, to ask a question, and to obey any configuration of the machine.
"""

import asyncio
import contextlib
import os
import resource
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reconciler.leash import leash
from reconciler.model.failure import Reason, Wait

OLDEST = (2, 36)
"""The oldest git that obeys all that it is told here."""
OUTPUT_LIMIT = 64 * 1024
"""A remote may talk as long as it likes; nobody reads more of it than this."""

INHERITED = (
    "PATH", "SSH_AUTH_SOCK", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
)  # fmt: skip

OPTIONS = (
    "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.attributesFile=/dev/null", "core.symlinks=false",
    "core.protectHFS=true", "core.protectNTFS=true",
    "transfer.fsckObjects=true", "fetch.fsckObjects=true",
    # The names of these two cannot reach a file system through us, yet a symlink as .gitmodules is never meant well.
    "fetch.fsck.gitmodulesSymlink=error", "fetch.fsck.gitattributesSymlink=error",
    "transfer.bundleURI=false", "transfer.credentialsInUrl=die", "credential.helper=",
    "submodule.recurse=false", "fetch.recurseSubmodules=false",
    "http.followRedirects=false", "http.lowSpeedLimit=1000", "http.lowSpeedTime=20",
    # What is not read is not held: a blob above this is written to disk as it arrives.
    "core.bigFileThreshold=1m",
    # The mirror can be fetched again at any time, so it is not worth waiting for the disk.
    "core.fsync=none", "gc.auto=0", "maintenance.auto=false",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """How one call of git ended."""

    status: int
    out: bytes
    err: str
    late: bool = False

    @property
    def well(self) -> bool:
        return self.status == 0 and not self.late


class Git:
    """Runs git on one bare repository, one thread per call under way."""

    def __init__(self, folder: Path, *, protocol: str, environ: Mapping[str, str], file_limit: int) -> None:
        self.folder = folder
        self._head = ("git", f"--git-dir={folder}", *(word for option in OPTIONS for word in ("-c", option)))
        self._environ = scrubbed(protocol) | dict(environ)
        self._file_limit = file_limit
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="git")

    async def run(self, *arguments: str, seconds: float, environ: Mapping[str, str] | None = None) -> Said:
        call = _Call((*self._head, *arguments), self._environ | dict(environ or {}), self._file_limit, seconds)
        running = asyncio.get_running_loop().run_in_executor(self._threads, call.run)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            call.end()
            # Nobody may find the repository still being written to by a call that was given up.
            await asyncio.wait([running])
            running.exception()
            raise

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Call:
    def __init__(self, command: tuple[str, ...], environ: Mapping[str, str], file_limit: int, seconds: float) -> None:
        self._command = command
        self._environ = environ
        self._file_limit = file_limit
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    def run(self) -> Said:
        if self._ended:
            return Said(-1, b"", "", late=True)
        deadline = time.monotonic() + self._seconds
        with self._start() as process:
            self._process = process
            if self._ended:
                self.end()
            out, err, late = _listen(process, deadline)
            if late:
                self.end()
        return Said(process.returncode, bytes(out), err.decode("utf-8", "replace"), late)

    def _start(self) -> "subprocess.Popen[bytes]":
        path = self._environ["PATH"]
        if shutil.which(self._command[0], path=path) is None:
            raise Wait(Reason.SOURCE_UNAVAILABLE, "The program git is not on the PATH; install git.")
        limited = _limited(path, self._file_limit)
        try:
            process = subprocess.Popen(
                (*limited, *leash(path), *self._command),
                env=dict(self._environ),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise Wait(Reason.SOURCE_UNAVAILABLE, f"git could not be started: {error.strerror}.") from error
        if not limited and hasattr(resource, "prlimit"):
            # There is no program for it. This one may be over already, or have started another that is not bound by it.
            with contextlib.suppress(OSError):
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (self._file_limit, self._file_limit))
        return process

    def end(self) -> None:
        self._ended = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def _limited(path: str, most: int) -> tuple[str, ...]:
    """From its first moment on: what it starts at once inherits the limit that it has by then."""
    found, hard = shutil.which("prlimit", path=path), resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    return (found, f"--fsize={limit}:{limit}", "--") if found else ()


def _listen(process: "subprocess.Popen[bytes]", deadline: float) -> tuple[bytearray, bytearray, bool]:
    """Read both streams to their ends, keep the first part of each, and stop at the deadline."""
    kept: dict[int, bytearray] = {}
    with selectors.DefaultSelector() as selector:
        for stream in _streams(process):
            kept[stream.fileno()] = bytearray()
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            ready = selector.select(remaining) if remaining > 0 else []
            if not ready:
                return *_in_order(process, kept), True
            for key, _ in ready:
                chunk = os.read(key.fd, OUTPUT_LIMIT)
                if not chunk:
                    selector.unregister(key.fileobj)
                kept[key.fd] += chunk[: OUTPUT_LIMIT - len(kept[key.fd])]
    return *_in_order(process, kept), not _ends(process, deadline)


def _streams(process: "subprocess.Popen[bytes]") -> tuple[IO[bytes], IO[bytes]]:
    if process.stdout is None or process.stderr is None:
        raise ValueError("both streams are pipes")
    return process.stdout, process.stderr


def _in_order(process: "subprocess.Popen[bytes]", kept: Mapping[int, bytearray]) -> tuple[bytearray, bytearray]:
    out, err = _streams(process)
    return kept[out.fileno()], kept[err.fileno()]


def _ends(process: "subprocess.Popen[bytes]", deadline: float) -> bool:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def scrubbed(protocol: str) -> dict[str, str]:
    """An environment in which git obeys nobody but us."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {
        "PATH": os.defpath,
        **inherited,
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "LANGUAGE": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_ALLOW_PROTOCOL": protocol,
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes -oConnectTimeout=20",
        "GIT_SSH_VARIANT": "ssh",
    }


def configured(options: Mapping[str, str]) -> dict[str, str]:
    """Options of git as part of an environment: seen by all that it starts, and by nobody who lists processes."""
    told = {"GIT_CONFIG_COUNT": str(len(options))}
    for number, (name, value) in enumerate(options.items()):
        told |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return told
