"""Requirements in, an installed environment out: resolved once, built once, shared by whoever asks for the same."""

from reconciler.environment.base import BASE
from reconciler.environment.build import Environment
from reconciler.environment.environments import Environments
from reconciler.environment.lock import Lock

__all__ = ["BASE", "Environment", "Environments", "Lock"]
