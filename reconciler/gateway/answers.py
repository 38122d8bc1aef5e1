"""What the gateway itself says to a client: that nobody is here, not yet here, or that the request cannot be read.

Every answer is JSON of one shape. It refuses to reveal anything of the platform: no versions, paths or other services.
"""

import json
import time
from dataclasses import dataclass
from http import HTTPStatus

from reconciler.gateway.table import Unready
from reconciler.inside.head import Refused

METHODS = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = b""
    fields: tuple[tuple[str, str], ...] = ()

    def render(self, *, keep: bool, with_body: bool) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}", f"Date: {_date()}"]
        lines += [f"{name}: {value}" for name, value in self.fields]
        if self.body:
            lines += ["Content-Type: application/json", "Cache-Control: no-store"]
        if self.status != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {len(self.body)}")
        if not keep:
            lines.append("Connection: close")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        return head + self.body if with_body else head


def _date() -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())


def _error(status: int, code: str, message: str, service: str | None = None, *fields: tuple[str, str]) -> Answer:
    error = {"error": {"code": code, "message": message, "service": service}}
    return Answer(status, json.dumps(error).encode(), fields)


def not_found(service: str | None) -> Answer:
    message = "There is no such service." if service else "Nothing is served here."
    return _error(404, "not_found", message, service)


def not_yet(service: str | None) -> Answer:
    return unready(service, "starting", "The services are starting.", 1)


def unready(service: str | None, code: str, message: str, retry_after: int) -> Answer:
    return _error(503, code, message, service, ("Retry-After", str(retry_after)))


def of_route(route: Unready) -> Answer:
    return unready(route.service, route.code, route.message, route.retry_after)


def no_worker(service: str) -> Answer:
    return unready(service, "no_worker", "The service has no running worker at the moment.", 1)


def busy(service: str) -> Answer:
    return unready(service, "busy", "The workers of the service take no more connections at the moment.", 1)


def too_slow() -> Answer:
    return _error(408, "request_timeout", "The head of the request did not arrive in time.")


def refusal(refused: Refused) -> Answer:
    fields = (("Allow", METHODS),) if refused.status == HTTPStatus.METHOD_NOT_ALLOWED else ()
    return _error(refused.status, refused.code, refused.message, None, *fields)


def methods() -> Answer:
    return Answer(204, fields=(("Allow", METHODS),))
