"""A Python that has imported the framework of an environment, and forks workers from it: as control sees it.

Control starts a zygote but does not own it: it outlives control. Its end does not end its workers either. It tells how
each of them ended, and whoever gave up waiting for a fork leaves no worker behind.
"""

import asyncio
import subprocess
from collections.abc import Iterable, Mapping
from typing import TypeVar

from reconciler.model.failure import Reason, Wait
from reconciler.model.names import WorkerId
from reconciler.worker.diary import Diary
from reconciler.worker.exit import Exit
from reconciler.worker.forked import Forked
from reconciler.worker.lines import Lines, Message
from reconciler.worker.spec import ReleaseSpec, WorkerSockets, command_message, fork_message

T = TypeVar("T")

START_TIMEOUT = 60.0
GREETED_WITHIN = 60.0
"""Nobody else waits meanwhile. It may be importing what a worker has found useful."""
REAPED_EVERY = 0.01


class Zygote:
    def __init__(self, lines: Lines, process: "subprocess.Popen[bytes] | None", diary: Diary) -> None:
        self.alive = True
        self._lines = lines
        self._process = process
        self._diary = diary
        self._forks: dict[WorkerId, asyncio.Future[Forked]] = {}
        self._unwanted: dict[WorkerId, WorkerSockets | None] = {}
        """Asked for by somebody who did not wait for the answer."""
        self._exits: dict[WorkerId, asyncio.Future[Exit]] = {}
        self._learnt: set[str] = set()
        self._greeting: asyncio.Future[Mapping[WorkerId, int]] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen())

    async def fork(
        self, spec: ReleaseSpec, worker: WorkerId, sockets: WorkerSockets, *, candidate: bool = False
    ) -> Forked:
        """A new worker. Whoever is cancelled while it waits for one leaves none behind."""
        return await self._fork(worker, fork_message(spec, worker, sockets, candidate=candidate), sockets)

    async def run(self, spec: ReleaseSpec, process: WorkerId, name: str) -> Forked:
        """A further command of a release, under a name that no process had before."""
        return await self._fork(process, command_message(spec, process, name), None)

    async def _fork(self, worker: WorkerId, message: Message, sockets: WorkerSockets | None) -> Forked:
        if not self.alive:
            raise self._has_ended()
        answer: asyncio.Future[Forked] = asyncio.get_running_loop().create_future()
        self._forks[worker] = answer
        try:
            self._lines.send(message)
            async with asyncio.timeout(START_TIMEOUT):
                return await answer
        except TimeoutError:
            self._disown(worker, sockets, answer)
            raise Wait(Reason.START_FAILED, f"the zygote did not fork within {START_TIMEOUT:.0f} s") from None
        except asyncio.CancelledError:
            self._disown(worker, sockets, answer)
            raise
        finally:
            self._forks.pop(worker, None)

    def exit_of(self, worker: WorkerId) -> "asyncio.Future[Exit]":
        """How a worker ended, once it was reaped; without a status when nobody can know."""
        if worker not in self._exits:
            self._exits[worker] = asyncio.get_running_loop().create_future()
            if not self.alive:
                self._exits[worker].set_result(Exit(None))
        return self._exits[worker]

    def forget(self, worker: WorkerId) -> None:
        self._exits.pop(worker, None)

    async def children(self) -> Mapping[WorkerId, int]:
        """Its workers and their pids, when it was met; none where it does not say."""
        try:
            async with asyncio.timeout(GREETED_WITHIN):
                return await asyncio.shield(self._greeting)
        except TimeoutError:
            return {}

    def learn(self, modules: Iterable[str]) -> None:
        """What a worker imported, the next ones find imported."""
        new = [name for name in modules if name not in self._learnt]
        if new and self.alive:
            self._learnt.update(new)
            self._lines.send({"op": "preload", "modules": new})

    def stop(self) -> None:
        """Let it end once its last worker has."""
        self._lines.send({"op": "stop"})

    async def ended(self) -> None:
        """Wait until it is gone, and reaped where it is a child of ours."""
        await asyncio.shield(self._listening)

    async def _listen(self) -> None:
        async for message in self._lines.messages():
            try:
                self._take(message)
            except (KeyError, TypeError, ValueError):
                break
        self._let_go()
        while self._process is not None and self._process.poll() is None:  # noqa: ASYNC110 - it ends at once
            await asyncio.sleep(REAPED_EVERY)

    def _let_go(self) -> None:
        self.alive = False
        self._lines.close()
        for fork in self._forks.values():
            if not fork.done():
                fork.set_exception(self._has_ended())
        for status in self._exits.values():
            _settle(status, Exit(None))
        _settle(self._greeting, {})

    def _has_ended(self) -> Wait:
        return Wait(
            Reason.START_FAILED,
            "the environment's Python ended before it could fork workers",
            detail=self._diary.tail(),
        )

    def _disown(self, worker: WorkerId, sockets: WorkerSockets | None, answer: "asyncio.Future[Forked]") -> None:
        if not answer.done() or answer.cancelled():
            self._unwanted[worker] = sockets
        elif answer.exception() is None:
            answer.result().kill()
            if sockets is not None:
                sockets.unlink()

    def _take(self, message: Message) -> None:
        worker = WorkerId(str(message.get("worker", "")))
        match message.get("op"):
            case "hello":
                children = {WorkerId(str(one["worker"])): int(one["pid"]) for one in message.get("children", ())}
                _settle(self._greeting, children)
            case "forked":
                self._born(worker, Forked(int(message["pid"]), str(message.get("started", ""))))
            case "refused":
                self._unwanted.pop(worker, None)
                failure = Wait(Reason.START_FAILED, f"the zygote refused to fork: {message.get('message', '')}")
                if (fork := self._forks.get(worker)) is not None and not fork.done():
                    fork.set_exception(failure)
            case "exited":
                _settle(self.exit_of(worker), Exit(int(message["status"]), bool(message.get("out_of_memory"))))

    def _born(self, worker: WorkerId, process: Forked) -> None:
        if worker in self._unwanted:
            process.kill()
            if (sockets := self._unwanted.pop(worker)) is not None:
                sockets.unlink()
        elif (fork := self._forks.get(worker)) is not None:
            _settle(fork, process)


def _settle(future: "asyncio.Future[T]", value: T) -> None:
    if not future.done():
        future.set_result(value)
