"""uvicorn's cycle of one request and its response, put in uvicorn's own place, so that it costs no frame more.

It adds three things: the request's id is known while the application runs, answers of 500 and more are counted, and
an application that fails after it has answered keeps its connection. Everything unusual is left to uvicorn.
"""

from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from .output import REQUEST
from .service import Application

REQUEST_KEY = "reconciler.request"
SERVER_ERROR = 500


class StatusLines(dict[int, bytes]):
    """The first line of a response by its status: a good answer's is found, any other's is missed and counted."""

    def __init__(self, lines: Mapping[int, bytes]) -> None:
        super().__init__({status: line for status, line in lines.items() if status < SERVER_ERROR})
        self._bad = {status: line for status, line in lines.items() if status >= SERVER_ERROR}
        self.failed = 0
        """What tells a bad release from a good one."""

    def __missing__(self, status: int) -> bytes:
        line = self._bad[status]
        self.failed += 1
        return line


class Cycle(RequestResponseCycle):
    async def run_asgi(self, app: Application) -> None:
        # Here, because some versions of uvicorn start the task of a request with an empty context.
        REQUEST.set(self.scope.get(REQUEST_KEY))  # type: ignore[arg-type]
        try:
            result = await app(self.scope, self.receive, self.send)
        except BaseException as error:
            if self.response_complete and isinstance(error, Exception):
                # Starlette answers with 500 and raises all the same, for the log. uvicorn would close the connection
                # on it without having told the client, whose next request is lost.
                self.logger.exception("Exception in ASGI application")
            else:
                await super().run_asgi(_raising(error))
        else:
            if result is not None or not self.response_complete:
                await super().run_asgi(_returning(result))
        finally:
            # As uvicorn does: connection and cycle must not keep each other alive.
            self.on_response = _nothing


def _returning(result: object) -> Application:
    async def app(*_: Any) -> object:
        return result

    return app


def _raising(error: BaseException) -> Application:
    async def app(*_: Any) -> None:
        raise error

    return app


def _nothing() -> None:
    return


status_lines = StatusLines(getattr(httptools_impl, "STATUS_LINE", {}))


def take_place() -> None:
    """From now on uvicorn makes and uses ours."""
    httptools_impl.STATUS_LINE = status_lines
    httptools_impl.RequestResponseCycle = Cycle  # type: ignore[misc]
