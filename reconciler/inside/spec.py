"""What a worker is told when it is forked: one frozen value, read from the fork message."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    memory: int | None = None
    files: int | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    worker: str
    release: str
    service: str
    revision: str
    socket: str
    """Where the worker listens for control and gateways."""
    private: str
    """Where it answers HTTP to those who prove a release, before it has a route."""
    code: str
    path: tuple[str, ...]
    entry: str
    prefix: str
    environ: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    output: str
    output_limit: int
    limits: Limits
    body_limit: int | None
    request_limit: float | None
    """Seconds for one request and its answer."""
    drain: float
    calls: tuple[str, ...] = ()
    """Functions that cron will ask for: a release without them does not start."""
    command: tuple[str, ...] = ()
    """What to become instead of a worker."""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Spec":
        """Raises KeyError, TypeError or ValueError when the message is not a spec."""
        limits = fields.get("limits") or {}
        return cls(
            **{
                name: str(fields[name])
                for name in ("worker", "release", "service", "socket", "private", "code", "entry")
            },
            revision=str(fields.get("revision", "")),
            path=tuple(map(str, fields.get("path") or ())),
            prefix=str(fields["prefix"]).rstrip("/"),
            environ=_texts(fields.get("environ")),
            secrets=_texts(fields.get("secrets")),
            output=str(fields["output"]),
            output_limit=int(fields.get("output_limit") or 8 * 1024 * 1024),
            limits=Limits(limits.get("memory"), limits.get("files"), limits.get("processes")),
            body_limit=fields.get("body_limit"),
            request_limit=fields.get("request_limit"),
            drain=float(fields.get("drain", 30.0)),
            calls=tuple(map(str, fields.get("calls") or ())),
            command=tuple(map(str, fields.get("command") or ())),
        )


def _texts(fields: Any) -> Mapping[str, str]:
    return {str(name): str(value) for name, value in (fields or {}).items()}
