"""Functions of the service, called by name: what cron asks of a worker.

Each call has a thread of its own, so that one that takes its time keeps no request waiting; what turns out to be a
coroutine runs on the loop, as an endpoint would. What it prints carries the id of its run. A thread cannot be ended
from outside: when its time is over an exception is raised in it, which reaches everything but a call into C, and a
thread that goes on after that is told as such. Refuses to decide whether a call may run beside another.
"""

import asyncio
import contextlib
import contextvars
import ctypes
import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .messages import Message
from .output import REQUEST
from .redaction import Redactor
from .service import fault_of, find

KEPT = 50
"""Outcomes that are told to whoever connects later: control may have ended and come back meanwhile."""
SHOWN = 300
ENDS_WITHIN = 1.0

logger = logging.getLogger("reconciler")


class Overdue(BaseException):
    """Raised in the thread of a call whose time is over."""


class Calls:
    def __init__(
        self, code: str, redactor: Redactor, tell: Callable[[Message], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._code = code
        self._redactor = redactor
        self._tell = tell
        self._loop = loop
        self._running: dict[str, asyncio.Task[None]] = {}
        self._last: deque[Message] = deque(maxlen=KEPT)

    @property
    def count(self) -> int:
        return len(self._running)

    def greeting(self) -> list[Message]:
        """What somebody who connects now has to know."""
        if not self._running and not self._last:
            return []
        return [*self._last, {"op": "calls", "running": list(self._running)}]

    def begin(self, message: Message) -> None:
        run = str(message.get("run", ""))
        if run and run not in self._running:
            work = partial(self._call, str(message.get("call", "")), dict(message.get("arguments") or {}))
            within = float(message.get("timeout", 300.0))
            self._running[run] = self._loop.create_task(self._carry_out(run, work, within))

    async def cut(self, within: float) -> None:
        """The drain is over: end what is still going."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=within)

    async def _carry_out(self, run: str, work: Callable[[], Any], within: float) -> None:
        REQUEST.set(run)
        limit = asyncio.timeout(within)
        try:
            async with limit:
                value = await work()
            told: Mapping[str, str] = {"state": "done", "message": self._redactor.cut(_shown(value), SHOWN, "…")}
        except asyncio.CancelledError:
            told = {"state": "interrupted", "message": "its release had to go before it was done"}
        except BaseException as error:
            if limit.expired():
                told = {"state": "timed-out", "message": f"it took longer than {within:g} s"}
            else:
                told = self._failed(error)
        if told["state"] != "done":
            logger.error("%s", told.get("detail") or told["message"])
        del self._running[run]
        outcome: Message = {"op": "called", "run": run, **told}
        self._last.append(outcome)
        self._tell(outcome)

    def _failed(self, error: BaseException) -> Mapping[str, str]:
        fault = fault_of(error, "CallFailed", self._code).told(self._redactor)
        place = f" ({fault.place.file}:{fault.place.line})" if fault.place.file else ""
        return {"state": "failed", "message": f"{fault.message}{place}", "detail": fault.detail}

    async def _call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        value = await _in_thread(lambda: find(name, self._code)(**arguments), self._loop)
        return await value if inspect.isawaitable(value) else value


async def _in_thread(work: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> Any:
    """Its own thread and none of a pool's: a pool that is used up would keep requests waiting."""
    ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def run() -> None:
        value, raised = None, None
        try:
            value = context.run(work)
        except BaseException as error:
            raised = error
        # The loop is closed where the worker did not wait for this thread any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, ended, (value, raised))

    thread = threading.Thread(target=run, name="call", daemon=True)
    thread.start()
    try:
        await asyncio.wait([ended])
    except asyncio.CancelledError:
        await _end(thread, ended)
        raise
    value, raised = ended.result()
    if raised is not None:
        raise raised
    return value


async def _end(thread: threading.Thread, ended: "asyncio.Future[Any]") -> None:
    if ended.done() or thread.ident is None:
        return
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Overdue))
    await asyncio.wait([ended], timeout=ENDS_WITHIN)
    if not ended.done():
        logger.warning("the thread of this call could not be ended; it goes on until its worker does")


def _settle(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _shown(value: object) -> str:
    if value is None:
        return "returned"
    try:
        return f"returned {value!r}"
    except Exception:
        return f"returned a {type(value).__name__}"
