"""What people who are not looking want to hear of: something fails, works again, or was taken back. Once each.

Pure, and remembers only what is failing at the moment, so that a service that is tried again and again is told once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from reconciler.model.notice import Kind, Notice

Topic = Literal["failures", "recoveries", "rollbacks", "releases"]
TOPICS: tuple[Topic, ...] = get_args(Topic)
USUAL: frozenset[Topic] = frozenset({"failures", "recoveries", "rollbacks"})
SOURCE = ""
"""Failing as a whole: no service has this name."""

_FAILURES = {
    Kind.RELEASE_FAILED: "a release failed",
    Kind.SERVICE_HELD: "what git asks for cannot be followed",
    Kind.SMOKE_FAILED: "a release answers badly in public",
    Kind.CRASH_LOOPED: "its workers keep dying",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    topic: Topic
    type: str
    at: datetime
    title: str
    message: str
    service: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, topic: Topic, type: str, notice: Notice, title: str) -> "Item":
        told = {
            "service": notice.service,
            "release": notice.release,
            "revision": notice.revision,
            "sync": notice.sync,
            "message": notice.message,
        }
        data = {name: value for name, value in told.items() if value is not None}
        return cls(
            topic=topic,
            type=type,
            at=notice.at,
            title=title,
            message=notice.message,
            service=notice.service,
            data=data,
        )


class News:
    def __init__(self) -> None:
        self._failing: dict[str, str] = {}
        """What fails, and how that was told."""

    def hear(self, notice: Notice) -> Item | None:
        """What is worth telling about it, if anything."""
        if notice.service is None:
            return self._of_the_source(notice)
        return self._of_a_service(notice.service, notice)

    def _of_a_service(self, service: str, notice: Notice) -> Item | None:
        if notice.kind in _FAILURES:
            return self._fails(service, "service.failed", notice, f"{service}: {_FAILURES[notice.kind]}")
        if notice.kind is Kind.ROLLED_BACK:
            self._failing[service] = notice.message
            return Item.of("rollbacks", "service.rolled_back", notice, f"{service} was rolled back")
        if notice.kind is Kind.RELEASE_SWITCHED:
            if self._failing.pop(service, None) is not None:
                return Item.of("recoveries", "service.recovered", notice, f"{service} works again")
            return Item.of("releases", "service.released", notice, f"{service} has a new release")
        if notice.kind is Kind.SERVICE_RECOVERED and self._failing.pop(service, None) is not None:
            return Item.of("recoveries", "service.recovered", notice, f"{service} is what git asks for again")
        if notice.kind is Kind.SERVICE_REMOVED:
            self._failing.pop(service, None)
        return None

    def _of_the_source(self, notice: Notice) -> Item | None:
        if notice.kind is not Kind.SYNC_FINISHED:
            return None
        if notice.revision is None and notice.data.get("state") == "failed":
            return self._fails(SOURCE, "source.failed", notice, "the repository cannot be followed")
        if notice.revision is not None and self._failing.pop(SOURCE, None) is not None:
            return Item.of("recoveries", "source.recovered", notice, "the repository can be followed again")
        return None

    def _fails(self, what: str, type: str, notice: Notice, title: str) -> Item | None:
        if self._failing.get(what) == notice.message:
            return None
        self._failing[what] = notice.message
        return Item.of("failures", type, notice, title)
