"""`git http-backend`, run for one request: the client's bytes in, its answer out, both as they come.

Nothing is collected: what the client sends goes into a pipe, and as fast as git takes it. When the client goes, sends
too much or nothing at all, git is asked to end, and then made to. Its environment holds what is named here and
nothing else; what a client says reaches it only in forms that are checked before.
"""

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from reconciler.source.hooks import Broken, Line
from reconciler.source.hosted import Hosted, discard
from reconciler.source.program import configured, scrubbed

log = logging.getLogger(__name__)

CHUNK = 64 * 1024
LONGEST_HEAD = 64 * 1024
MOST_AT_ONCE = 64
ENDS_BY_ITSELF = 0.2
"""Once its input ends, git mostly does too, and in better order than when it is made to."""
ENDS_WITHIN = 5.0
COMPLAINT = 2000
"""How much of what git complains about is kept."""

OPTIONS = {
    "http.receivepack": "true", "http.uploadpack": "true", "http.getanyfile": "false",
    "receive.fsckObjects": "true", "transfer.fsckObjects": "true",
    "receive.advertisePushOptions": "true", "receive.keepAlive": "5",
    "receive.autogc": "false", "gc.auto": "0", "maintenance.auto": "false",
    "receive.unpackLimit": "1", "receive.denyDeletes": "false", "receive.denyNonFastForwards": "false",
    "receive.fsck.gitmodulesSymlink": "error", "receive.fsck.gitattributesSymlink": "error",
    "core.useReplaceRefs": "false", "core.protectHFS": "true", "core.protectNTFS": "true",
    "core.logAllRefUpdates": "always", "core.bigFileThreshold": "1m", "core.fsmonitor": "false",
    # While a push lies apart, the repository itself is what git calls an alternate. Its refs are known without that.
    "core.alternateRefsCommand": "true",
    "credential.helper": "",
}  # fmt: skip

Service = Literal["info/refs", "git-upload-pack", "git-receive-pack"]
Answering = Callable[[Line], Awaitable[None]]


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


class Client(Protocol):
    """Whoever asked, as bytes."""

    def body(self) -> AsyncIterator[bytes]:
        """What it sends, to the end. Raises when it goes, stalls or sends too much."""
        ...

    async def gone(self) -> None:
        """Returns when it is."""

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None: ...

    async def put(self, chunk: bytes) -> None:
        """Raises when nobody takes it."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a git client asks; every text in it has been looked at."""

    service: Service
    query: str = ""
    content_type: str = ""
    content_length: int | None = None
    gzipped: bool = False
    protocol: str = ""
    """Its `Git-Protocol` header."""
    user: str = ""
    address: str = ""


class Backend:
    """Runs git on the hosted repository, once per request."""

    def __init__(self, hosted: Hosted) -> None:
        self._hosted = hosted
        self._slots = asyncio.Semaphore(MOST_AT_ONCE)
        self._lines: set[Line] = set()

    async def run(self, call: Call, client: Client, answering: Answering) -> None:
        """Returns when git has ended; raises what went wrong with the client, and git has ended then too."""
        async with self._slots:
            line = Line(self._hosted.folder / "objects")
            self._lines.add(line)
            try:
                process = await self._start(call, line)
            except BaseException:
                self._lines.discard(line)
                line.abandon()
                raise
            await line.open()
            asking = asyncio.create_task(_answer(line, answering))
            complaining = asyncio.create_task(_listen(process))
            try:
                await _pass_on(process, client)
            finally:
                await asyncio.shield(_end(process))
                asking.cancel()
                await asyncio.wait([asking, complaining])
                line.close()
                self._lines.discard(line)
                await asyncio.shield(self._sweep(process))
            if process.returncode:
                log.warning("git ended badly", extra={"reason": complaining.result() or process.returncode})

    async def _sweep(self, process: Process) -> None:
        """Remove what was pushed and not accepted: a git that is made to end leaves it where it is."""
        if process.returncode and all(line.is_settled for line in self._lines):
            # Listed before anything is awaited: from here on it may be a new push's.
            left = [*self._hosted.quarantines()]
            await asyncio.to_thread(discard, left)

    async def _start(self, call: Call, line: Line) -> Process:
        # The program itself and not `git http-backend`, which is one process more, twice in every push.
        # How much it writes is bounded by how much it takes: it never unpacks what it is sent.
        return await asyncio.create_subprocess_exec(
            await self._hosted.backend(),
            env=self._environ(call) | line.environ, cwd="/", pass_fds=(line.ask, line.hear), start_new_session=True,
            stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=LONGEST_HEAD,
        )  # fmt: skip

    def _environ(self, call: Call) -> dict[str, str]:
        told = {
            "GIT_PROJECT_ROOT": os.fspath(self._hosted.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{self._hosted.name}.git/{call.service}",
            "REQUEST_METHOD": "GET" if call.service == "info/refs" else "POST",
            "QUERY_STRING": call.query,
            "CONTENT_TYPE": call.content_type,
            "REMOTE_USER": call.user,
            "REMOTE_ADDR": call.address,
            "GIT_HTTP_MAX_REQUEST_BUFFER": "10M",
        }
        if call.content_length is not None:
            told["CONTENT_LENGTH"] = str(call.content_length)
        if call.gzipped:
            told["HTTP_CONTENT_ENCODING"] = "gzip"
        if call.protocol:
            told["GIT_PROTOCOL"] = call.protocol
        own = {
            "core.hooksPath": os.fspath(self._hosted.hooks),
            "receive.maxInputSize": str(self._hosted.bounds.pack_bytes),
        }
        return scrubbed("") | told | configured(OPTIONS | own)


async def _pass_on(process: Process, client: Client) -> None:
    """Both ways at once: git may answer before it has read all, and a client reads nothing before it has sent all."""
    fed = asyncio.Event()
    coming = asyncio.create_task(_feed(process, client, fed))
    going = asyncio.create_task(_tell(process, client, fed))
    try:
        done, _ = await asyncio.wait({coming, going}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        coming.cancel()
        going.cancel()
        await asyncio.wait({coming, going})


async def _feed(process: Process, client: Client, fed: asyncio.Event) -> None:
    """Ends only by raising: when the client goes, or because of what it sent."""
    stdin = process.stdin
    if stdin is None:
        raise ValueError("stdin is a pipe")
    listens = True
    async for chunk in client.body():
        if not listens:
            # Git has heard enough: the rest is taken and thrown away.
            continue
        try:
            stdin.write(chunk)
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            listens = False
    stdin.close()
    fed.set()
    await client.gone()
    raise ClientGone


async def _tell(process: Process, client: Client, fed: asyncio.Event) -> None:
    stdout = process.stdout
    if stdout is None:
        raise ValueError("stdout is a pipe")
    status, headers = await _head(stdout)
    await client.begin(status, headers)
    while chunk := await stdout.read(CHUNK):
        await client.put(chunk)
    await fed.wait()


async def _head(stdout: asyncio.StreamReader) -> tuple[int, list[tuple[bytes, bytes]]]:
    status, headers = 200, []
    while line := (await stdout.readline()).rstrip(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        else:
            headers.append((name.lower(), value.strip()))
    return (status, headers) if headers else (500, [(b"content-type", b"text/plain")])


async def _answer(line: Line, answering: Answering) -> None:
    try:
        await answering(line)
    except Broken as broken:
        log.info("a push was left alone", extra={"why": str(broken)})
    except Exception:
        log.exception("a bug stopped the answer to a push")
    finally:
        # A hook that still waits hears that nobody answers.
        line.close()


async def _listen(process: Process) -> str:
    stderr, said = process.stderr, b""
    while stderr is not None and (chunk := await stderr.read(CHUNK)):
        said = (said + chunk)[-COMPLAINT:]
    return said.decode(errors="replace").strip()


async def _end(process: Process) -> None:
    """Asked first: git then removes its locks and what was not accepted yet."""
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode is None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDS_BY_ITSELF):
                await process.wait()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDS_WITHIN):
                await process.wait()
