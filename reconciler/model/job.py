"""One job of one service, as a release brings it along: plain and frozen, fit for the journal and for ten thousand."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from reconciler.model.cron import CronJob
from reconciler.model.names import ServiceName

EVERY_TIME = re.compile(r"all\(([0-9]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    service: ServiceName
    name: str
    schedule: str
    timezone: str
    request: str | None
    call: str | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 300.0
    overlap: Literal["skip", "queue"] = "skip"
    catch_up: str = "latest"
    jitter: float = 0.0

    @classmethod
    def declared(cls, service: ServiceName, job: CronJob) -> "Job":
        return cls(service=service, **{name: getattr(job, name) for name in CronJob.model_fields})

    @property
    def does(self) -> str:
        """What it runs, for people."""
        return self.request or f"call {self.call}"

    @property
    def times(self) -> str:
        """What decides when it is due. As long as it stays, a release goes on where the one before was."""
        return f"{self.schedule} {self.timezone}" + (f" +{self.jitter:g}s" if self.jitter else "")

    @property
    def most_caught_up(self) -> int:
        """How many missed times are made good."""
        if self.catch_up == "none":
            return 0
        every = EVERY_TIME.fullmatch(self.catch_up)
        return int(every[1]) if every else 1
