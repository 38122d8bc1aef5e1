"""What a worker has to know to run a release: frozen, made by control, sent to the zygote."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconciler.model.names import EnvironmentId, ReleaseId, ServiceName, WorkerId
from reconciler.model.pinned_secret import PinnedSecret

OUTPUT_LIMIT = 8 << 20
CANDIDATE = "RECONCILER_CANDIDATE"
"""In the environment of a worker while its release has not got the traffic; `inside/worker.py` takes it out again."""


@dataclass(frozen=True, slots=True)
class Limits:
    memory: int | None = None
    files: int | None = None
    processes: int | None = None
    body: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSpec:
    """One release, made runnable."""

    release: ReleaseId
    service: ServiceName
    revision: str
    environment: EnvironmentId
    python: Path
    code: Path
    path: tuple[Path, ...] = ()
    entry: str
    prefix: str
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    pinned: tuple[PinnedSecret, ...] = ()
    """The secrets it was made with. Their values are asked for at each start of a worker, and not kept."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names and values of what nobody but the worker may read: never shown, logged or written down."""
    calls: tuple[str, ...] = ()
    """Functions that cron will ask its workers for."""
    processes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further commands, by name."""
    output: Path
    limits: Limits = Limits()
    replicas: int = 1
    drain: float = 30.0
    start_timeout: float = 30.0
    request_timeout: float | None = None


@dataclass(frozen=True, slots=True)
class WorkerSockets:
    """Where one worker is spoken to. Short names: a Unix socket's path has room for a hundred bytes."""

    control: Path
    private: Path

    @classmethod
    def fresh(cls, run: Path) -> "WorkerSockets":
        token = secrets.token_hex(4)
        return cls(run / f"w-{token}.sock", run / f"h-{token}.sock")

    def unlink(self) -> None:
        self.control.unlink(missing_ok=True)
        self.private.unlink(missing_ok=True)


def fork_message(
    spec: ReleaseSpec, worker: WorkerId, sockets: WorkerSockets, *, candidate: bool = False
) -> dict[str, Any]:
    environ = {CANDIDATE: "1"} if candidate else {}
    return _message(
        spec, worker, socket=str(sockets.control), private=str(sockets.private), environ={**spec.environ, **environ}
    )


def command_message(spec: ReleaseSpec, process: WorkerId, name: str) -> dict[str, Any]:
    """The same for a further command of the release, which imports what a worker would."""
    found = {"PYTHONPATH": os.pathsep.join(map(str, (spec.code, *spec.path))), "PYTHONUNBUFFERED": "1"}
    environ = {**found, **spec.environ, "RECONCILER_PROCESS": name}
    return _message(spec, process, environ=environ, command=list(spec.processes[name]))


def _message(spec: ReleaseSpec, worker: WorkerId, **more: Any) -> dict[str, Any]:
    return {
        "op": "fork",
        "spec": {
            "worker": worker,
            "release": spec.release,
            "service": spec.service,
            "revision": spec.revision,
            "socket": "",
            "private": "",
            "code": str(spec.code),
            "path": [str(folder) for folder in spec.path],
            "entry": spec.entry,
            "prefix": spec.prefix,
            "secrets": dict(spec.secrets),
            "output": str(spec.output),
            "output_limit": OUTPUT_LIMIT,
            "limits": {"memory": spec.limits.memory, "files": spec.limits.files, "processes": spec.limits.processes},
            "body_limit": spec.limits.body,
            "request_limit": spec.request_timeout,
            "drain": spec.drain,
            "calls": list(spec.calls),
            **more,
        },
    }
