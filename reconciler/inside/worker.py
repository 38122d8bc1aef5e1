"""One worker: what it says of itself, and how it obeys.

States: starting, ready, draining, stopped; or failed. Control reads them on the worker's socket. The order at the end
is the promise: connections go back first, then what was begun is finished (responses, background tasks, WebSockets
until the deadline), then the service's own shutdown runs, then the process ends with 0.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import kernel
from .calls import Calls
from .clients import Clients
from .connection import PrivateConnection
from .drain import Drain
from .gateways import Gateways
from .lifespan import Lifespan, StartupFailed
from .messages import Gone, Message, Messages
from .output import NOTICE_EVERY, Output
from .service import Application, Fault, Faulty, fault_of, find, imported_from, load
from .spec import Spec
from .tally import Tally
from .traffic import Traffic

EXIT_FAILED = 3
EXIT_PLATFORM_GONE = 70

LIFESPAN_SECONDS = 10.0
FAREWELL_SECONDS = 5.0
CANDIDATE = "RECONCILER_CANDIDATE"
"""In the environment of a worker while its release has not got the traffic."""

# Known before the fork: finding out takes a millisecond.
PACKAGES = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))

logger = logging.getLogger("reconciler")


@dataclass(frozen=True, slots=True)
class Inheritance:
    """The descriptors that a worker gets from the zygote."""

    listener: socket.socket
    lifeline: int
    stdout: int
    stderr: int


class Worker:
    def __init__(
        self,
        spec: Spec,
        inheritance: Inheritance,
        output: Output,
        known: str,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._spec = spec
        self._output = output
        self._known = known
        self._loop = loop
        self._started = kernel.start_time(os.getpid())
        self._state: Message = {"op": "state", "state": "starting"}
        self._waiting: list[int] = []
        self._retire_at = float("inf")
        self._retirement = asyncio.Event()
        self._traffic: Traffic | None = None
        self._gateways: Gateways | None = None
        self._calls: Calls | None = None
        self._inheritance = inheritance
        self._clients = Clients(inheritance.listener, greet=self._greet, order=self._obey, loop=loop)
        self._tally = Tally(loop, self._tell_counts)
        self._counting: Messages | None = None
        """Who hears what is counted: the newest that asked to."""
        self._held = (0, 0)
        """What was told last of connections, and of requests in flight."""
        self._parking: asyncio.Task[Mapping[str, int]] | None = None

    async def live(self) -> int:
        """Serve until told to stop. The exit status."""
        self._watch_lifeline(self._inheritance.lifeline)
        self._output.on_drop = self._settle_later
        clients = self._clients
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._retire, self._spec.drain)
        try:
            app = load(self._spec.entry, self._spec.code, self._spec.service)
            for name in self._spec.calls:
                find(name, self._spec.code)
            lifespan = await self._start(app)
        except Faulty as faulty:
            return await self._fail(clients, faulty.fault)
        gc.freeze()
        traffic = self._open_traffic(app, lifespan.state)
        private = await self._open_private(traffic)
        self._calls = calls = Calls(self._spec.code, self._output.redactor, clients.tell, self._loop)
        self._enter(clients, {"op": "state", "state": "ready", "modules": imported_from(PACKAGES, self._known)})
        await self._retirement.wait()
        self._end_parking()
        self._enter(clients, {"op": "state", "state": "draining"})
        private.close()
        cut = await Drain(traffic, self._gateways, calls).carry_out(lambda: self._retire_at)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(lifespan.shutdown(), LIFESPAN_SECONDS)
        with contextlib.suppress(OSError):
            Path(self._spec.private).unlink()
        self._tell_counts()
        clients.tell_last({"op": "state", "state": "stopped", "cut": cut})
        return 0

    async def _start(self, app: Application) -> Lifespan:
        lifespan = Lifespan(app)
        try:
            await lifespan.startup()
        except StartupFailed as failed:
            if failed.__cause__ is None:
                raise Faulty(Fault("StartFailed", str(failed))) from failed
            raise Faulty(fault_of(failed.__cause__, "StartFailed", self._spec.code)) from failed
        return lifespan

    async def _fail(self, clients: Clients, fault: Fault) -> int:
        """Say what is wrong to at least one listener, and end."""
        fault = fault.told(self._output.redactor)
        logger.error("%s: %s", fault.reason, fault.detail or fault.message)
        failure: Message = {"op": "state", "state": "failed", "reason": fault.reason, "message": fault.message}
        failure |= {"detail": fault.detail, "file": fault.place.file, "line": fault.place.line}
        failure |= {"remedy": fault.remedy}
        self._enter(clients, failure)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(clients.came.wait(), FAREWELL_SECONDS)
        clients.tell_last(None)
        return EXIT_FAILED

    def _open_traffic(self, app: Application, state: dict[str, Any]) -> Traffic:
        spec = self._spec
        self._traffic = Traffic(
            app,
            state,
            service=spec.service,
            prefix=spec.prefix,
            body_limit=spec.body_limit,
            loop=self._loop,
            tally=self._tally,
            request_limit=spec.request_limit,
        )
        self._gateways = self._traffic.gateways = Gateways(self._traffic, self._clients.reserve)
        waiting, self._waiting = self._waiting, []
        for fd in waiting:
            self._gateways.attach(fd)
        return self._traffic

    async def _open_private(self, traffic: Traffic) -> asyncio.AbstractServer:
        with contextlib.suppress(FileNotFoundError):
            Path(self._spec.private).unlink()
        mask = os.umask(0o177)
        try:
            return await self._loop.create_unix_server(lambda: PrivateConnection(traffic), self._spec.private)
        finally:
            os.umask(mask)

    def _enter(self, clients: Clients, state: Message) -> None:
        self._state = state
        clients.tell(state)

    def _greet(self) -> list[Message]:
        spec = self._spec
        hello: Message = {"op": "hello", "worker": spec.worker, "release": spec.release, "service": spec.service}
        hello |= {
            "revision": spec.revision,
            "pid": os.getpid(),
            "started": self._started,
            "state": self._state["state"],
        }
        told = [hello] if self._state["state"] == "starting" else [hello, self._state]
        return told + (self._calls.greeting() if self._calls is not None else [])

    def _obey(self, message: Message, client: Messages) -> None:
        match message.get("op"):
            case "attach":
                if not client.fds:
                    # Its channel was lost on the way: better that it lets go of us than that it sends to nobody.
                    raise Gone
                self._attach(client.fds.pop(0))
            case "retire":
                self._retire(float(message.get("drain", self._spec.drain)))
            case "promote":
                os.environ.pop(CANDIDATE, None)
            case "call" if self._calls is not None:
                self._calls.begin(message)
            case "park" if self._traffic is not None and self._parking is None:
                os.environ[CANDIDATE] = "1"
                drain = Drain(self._traffic, self._gateways, self._calls)
                at = self._loop.time() + float(message.get("drain", self._spec.drain))
                self._parking = self._loop.create_task(drain.carry_out(lambda: at, stay=True))
            case "resume" if self._traffic is not None and not self._retirement.is_set():
                self._end_parking()
                os.environ.pop(CANDIDATE, None)
                self._traffic.resume()
            case "stats":
                client.send(self._stats())
            case "count":
                self._counting, self._tally.is_wanted = client, True
                self._tell_counts(at_once=True)

    def _tell_counts(self, *, at_once: bool = False) -> None:
        """Where nobody listens, what was counted waits for the next who does."""
        client, traffic = self._counting, self._traffic
        if client is None or client not in self._clients:
            self._counting, self._tally.is_wanted = None, False
            return
        held = (traffic.held, traffic.in_flight) if traffic is not None else (0, 0)
        if at_once or held != self._held or self._tally.has_counted:
            self._held = held
            counted = self._tally.take()
            self._clients.reply(client, {"op": "counted", **counted, "connections": held[0], "in_flight": held[1]})
        if traffic is not None and traffic.websockets:
            # Nobody says when these end.
            self._tally.stir()

    def _end_parking(self) -> None:
        if self._parking is not None:
            self._parking.cancel()
            self._parking = None

    def _attach(self, fd: int) -> None:
        if self._gateways is None:
            self._waiting.append(fd)
        else:
            self._gateways.attach(fd)

    def _retire(self, drain: float) -> None:
        self._retire_at = min(self._loop.time() + drain, self._retire_at)
        self._retirement.set()

    def _stats(self) -> Message:
        traffic = self._traffic
        if traffic is None:
            return {"op": "stats", "connections": 0, "in_flight": 0, "requests": 0, "failed": 0, "handed_back": 0}
        return {
            "op": "stats",
            "connections": traffic.held,
            "in_flight": traffic.in_flight,
            "requests": traffic.requests,
            "failed": traffic.failed,
            "handed_back": traffic.handed_back,
        }

    def _watch_lifeline(self, fd: int) -> None:
        def read() -> None:
            if not os.read(fd, 1):
                os._exit(EXIT_PLATFORM_GONE)

        self._loop.add_reader(fd, read)

    def _settle_later(self) -> None:
        # Lines are also dropped in threads.
        self._loop.call_soon_threadsafe(lambda: self._loop.call_later(NOTICE_EVERY, self._output.settle))
