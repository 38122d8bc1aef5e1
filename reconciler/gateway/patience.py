"""For how many seconds the gateway waits for what."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    head: float = 10.0
    idle: float = 75.0
    park: float = 10.0
    ending: float = 2.0
