"""Start and stop an application by the ASGI lifespan protocol, and keep the exception when it fails.

uvicorn's own class logs the exception and forgets it; the status needs its file and line. An application that does
not speak the protocol (it raises before it says anything) is started without it, as with uvicorn's `--lifespan auto`.
"""

import asyncio
import logging
from typing import Any

from .service import Application

GRACE = 1.0

logger = logging.getLogger("uvicorn.error")


class StartupFailed(Exception):
    """The application said that it cannot start; `__cause__` is what it raised, when it raised."""


class Lifespan:
    def __init__(self, app: Application) -> None:
        self._app = app
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._failure: str | None = None
        self.state: dict[str, Any] = {}

    async def startup(self) -> None:
        self._to_app.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._started

    async def shutdown(self) -> None:
        if self._task is None or self._task.done():
            return
        self._to_app.put_nowait({"type": "lifespan.shutdown"})
        await self._stopped

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        raised: BaseException | None = None
        try:
            await self._app(scope, self._to_app.get, self._send)
        except BaseException as error:
            raised = error
        finally:
            self._settle_start(raised)
            if not self._stopped.done():
                self._stopped.set_result(None)

    def _settle_start(self, raised: BaseException | None) -> None:
        if self._started.done():
            return
        is_silent = self._failure is None and isinstance(raised, Exception)
        if self._failure is None and (raised is None or is_silent):
            self._started.set_result(None)
            return
        failure = StartupFailed(_last_line(self._failure or "") or f"The service raised {type(raised).__name__}.")
        failure.__cause__ = raised
        self._started.set_exception(failure)

    async def _send(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "lifespan.startup.complete":
                if not self._started.done():
                    self._started.set_result(None)
            case "lifespan.startup.failed":
                # Starlette raises right after it said so; the exception is worth waiting for, though not for long.
                self._failure = message.get("message") or "The service reported that its startup failed."
                asyncio.get_running_loop().call_later(GRACE, self._settle_start, None)
            case "lifespan.shutdown.complete" | "lifespan.shutdown.failed":
                if message.get("message"):
                    logger.error(message["message"])
                if not self._stopped.done():
                    self._stopped.set_result(None)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
