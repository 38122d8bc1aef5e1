"""Routes: which prefix belongs to which release, and who its workers are; all of them at one instant are the table.

Values that control makes and the gateway obeys. Refuses to know whether a worker is alive.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.model.names import ReleaseId, ServiceName, WorkerId

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WorkerAddress:
    worker: WorkerId
    socket: str

    def to_json(self) -> dict[str, Any]:
        return {"worker": self.worker, "socket": self.socket}

    @classmethod
    def from_json(cls, document: Document) -> "WorkerAddress":
        return cls(WorkerId(_text(document, "worker")), _text(document, "socket"))


@dataclass(frozen=True, slots=True)
class Live:
    """The workers of `release` serve."""

    service: ServiceName
    release: ReleaseId
    workers: tuple[WorkerAddress, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "release": self.release,
            "state": "live",
            "workers": [worker.to_json() for worker in self.workers],
        }


@dataclass(frozen=True, slots=True)
class Unready:
    """The service is known and cannot serve; its clients are told why, and when to come again."""

    service: ServiceName
    code: str
    message: str
    retry_after: int = 1

    def to_json(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "state": "unready",
            "code": self.code,
            "message": self.message,
            "retry_after": self.retry_after,
        }


Route = Live | Unready


def route_from_json(document: Document) -> Route:
    service = ServiceName(_text(document, "service"))
    state = document.get("state")
    if state == "live":
        return Live(service, ReleaseId(_text(document, "release")), workers_from_json(document["workers"]))
    if state == "unready":
        retry_after = document.get("retry_after", 1)
        if not isinstance(retry_after, int):
            raise ValueError("retry_after is not a number of seconds")
        return Unready(service, _text(document, "code"), _text(document, "message"), retry_after)
    raise ValueError(f"a route is live or unready, not {state!r}")


def workers_from_json(documents: object) -> tuple[WorkerAddress, ...]:
    if not isinstance(documents, list):
        raise ValueError("workers are not a list")
    return tuple(WorkerAddress.from_json(document) for document in documents)


@dataclass(frozen=True, slots=True)
class Table:
    """Every route at one instant, by prefix (`/api/tasks`).

    `draining` workers receive nothing and may hand connections back. Until the table is `complete`, an unknown name is
    one that may yet come, and is answered with 503 instead of 404.
    """

    mount: str
    routes: Mapping[str, Route] = field(default_factory=dict)
    draining: tuple[WorkerAddress, ...] = ()
    complete: bool = True

    def to_json(self) -> dict[str, Any]:
        return {
            "mount": self.mount,
            "routes": {prefix: route.to_json() for prefix, route in self.routes.items()},
            "draining": [worker.to_json() for worker in self.draining],
            "complete": self.complete,
        }

    @classmethod
    def from_json(cls, document: Document) -> "Table":
        routes = document["routes"]
        if not isinstance(routes, dict):
            raise ValueError("routes are not a mapping")
        return cls(
            mount=_text(document, "mount"),
            routes={prefix: route_from_json(route) for prefix, route in routes.items()},
            draining=workers_from_json(document.get("draining", [])),
            complete=bool(document.get("complete", True)),
        )


def _text(document: Document, key: str) -> str:
    value = document[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is not text")
    return value
