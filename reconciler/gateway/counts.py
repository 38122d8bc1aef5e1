"""What the gateway has done since it started. There is no line of log per request; these say enough."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    accepted: int = 0
    handed: int = 0
    returned: int = 0
    """Connections that workers handed back between two requests."""
    rerouted: int = 0
    """Connections that a worker had not taken when it died or stopped taking any."""
    refused: int = 0
    """Requests whose head cannot be read, is not allowed, or came too slowly."""
    answered: int = 0
    """Requests that the gateway answered itself and whose connections it kept."""
    parked: int = 0
    """Connections that had to wait for a worker."""
    foreign: int = 0
    """Descriptors that a worker handed back and that were no connection of ours."""
    dropped: int = 0
    """Connections that were closed because the gateway has a bug; its log has the whole of it."""
