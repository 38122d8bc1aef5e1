"""Who is asked: one candidate on its private socket, and what may be told about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.model.names import ReleaseId, ServiceName


@dataclass(frozen=True, slots=True)
class Target:
    socket: str
    """The path of the private socket on which the candidate speaks HTTP."""
    prefix: str
    """What its paths begin with: `/api/tasks`."""
    service: ServiceName
    release: ReleaseId
    public: str = "http://127.0.0.1:8000"
    """Where people reach the services, for the `curl` lines of a report."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What `${secrets.NAME}` may use: the service's own."""
