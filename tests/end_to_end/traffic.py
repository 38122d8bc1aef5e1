"""Clients that keep their connections and notice everything: a lost answer, a reset, a connection closed.

Raw sockets on purpose. An HTTP library quietly opens another connection when one was closed under it, and
that is exactly what must not happen.
"""

import asyncio
import contextlib
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Self

PATIENCE = 15.0


@dataclass
class Tally:
    """What clients saw, over all of them."""

    sent: int = 0
    answered: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    connections: int = 0
    closed: int = 0
    """Connections that the other side ended."""
    first_seen: dict[str, float] = field(default_factory=dict)
    """When each version answered for the first time."""

    @property
    def ok(self) -> int:
        return self.answered[200]

    @property
    def lost(self) -> int:
        """Requests that got no answer, or another than 200."""
        return self.sent - self.ok

    def __str__(self) -> str:
        return (
            f"{self.sent} sent, {self.ok} ok, answers {dict(self.answered)}, {len(self.failures)} failed "
            f"{self.failures[:5]}, {self.connections} connections, {self.closed} closed, versions {dict(self.versions)}"
        )


class Lost(Exception):
    """A request without an answer."""


class Connection:
    """One keep-alive connection: a request out, an answer in."""

    def __init__(self, port: int, tally: Tally) -> None:
        self._port = port
        self._tally = tally
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._tally.connections += 1

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """One request, counted however it ends."""
        self._tally.sent += 1
        try:
            return await asyncio.wait_for(self._ask(method, path, body), PATIENCE)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self._tally.failures.append(f"{method} {path}: {error!r}")
            self._tally.closed += not isinstance(error, TimeoutError)
            await self.close()
            raise Lost from error

    async def _ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if self._writer is None or self._reader is None:
            await self.open()
        assert self._writer is not None and self._reader is not None
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self._writer.write(f"{method} {path} HTTP/1.1\r\nHost: test\r\n{length}\r\n".encode() + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(head.split(" ", 2)[1])
        content = await self._reader.readexactly(_content_length(head))
        self._tally.answered[status] += 1
        if status == 200:
            version = str(json.loads(content).get("version"))
            self._tally.versions[version] += 1
            self._tally.first_seen.setdefault(version, time.monotonic())
        if "connection: close" in head:
            self._tally.closed += 1
            await self.close()
        return status, content

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def _content_length(head: str) -> int:
    for line in head.split("\r\n"):
        if line.startswith("content-length:"):
            return int(line.partition(":")[2])
    raise ValueError("an answer without a length")


class Traffic:
    """Load from a thread of its own, for as long as the block lasts.

    Each client goes round the paths on one connection, a GET and a POST in turn, so that connections change
    between services all the time.
    """

    def __init__(
        self, port: int, paths: Sequence[str], *, clients: int = 8, idle: int = 0, think: float = 0.005
    ) -> None:
        self.tally = Tally()
        self._port = port
        self._paths = paths
        self._clients = clients
        self._idle = idle
        self._think = think
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._over = threading.Event()
        self._parked: list[Connection] = []
        self._begun = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._begun.wait(4 * PATIENCE), "the clients never got going"
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(2 * PATIENCE)

    def settle(self, requests: int = 50) -> None:
        """Let some more requests pass."""
        goal, deadline = self.tally.sent + requests, time.monotonic() + PATIENCE
        while self.tally.sent < goal and time.monotonic() < deadline:
            time.sleep(0.005)

    def wake(self, path: str) -> None:
        """Let every idle connection send a POST at once, and wait for the answers."""
        self.wake_soon(path).result(2 * PATIENCE)

    def wake_soon(self, path: str, *, after: float = 0.0, over: float = 0.0) -> Future[list[float]]:
        """Let every idle connection send a POST at a moment of its own; the result tells when each did."""
        return asyncio.run_coroutine_threadsafe(self._wake(path, after, over), self._loop)

    async def _wake(self, path: str, after: float, over: float) -> list[float]:
        async def post(connection: Connection) -> float:
            await asyncio.sleep(after + random.uniform(0, over))
            moment = time.monotonic()
            with contextlib.suppress(Lost):
                await connection.ask("POST", path, b"x")
            return moment

        return await asyncio.gather(*map(post, self._parked))

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._parked = [Connection(self._port, self.tally) for _ in range(self._idle)]
        for connection in self._parked:
            await connection.open()
            await connection.ask("GET", f"{self._paths[0]}/version")
        self._begun.set()
        await asyncio.gather(*(self._client(number) for number in range(self._clients)))
        for connection in self._parked:
            await connection.close()

    async def _client(self, number: int) -> None:
        connection = Connection(self._port, self.tally)
        turns = itertools.islice(itertools.cycle(self._paths), number % len(self._paths), None)
        requests: itertools.cycle[Callable[[str], tuple[str, str, bytes]]] = itertools.cycle([_get, _post])
        while not self._over.is_set():
            try:
                await connection.ask(*next(requests)(next(turns)))
            except Lost:
                await asyncio.sleep(0.02)
            await asyncio.sleep(self._think)
        await connection.close()


def _get(path: str) -> tuple[str, str, bytes]:
    return "GET", f"{path}/version", b""


def _post(path: str) -> tuple[str, str, bytes]:
    return "POST", f"{path}/echo", b"x" * 100
