"""Where people look at what the forge is told about."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Links:
    services: str
    """The services' public address."""
    dashboard: str | None
    """The control plane's address, where people can reach it."""
    environment: str = "production"
    """What the forge calls this platform."""

    def service(self, path: str | None) -> str | None:
        return f"{self.services.rstrip('/')}{path}" if path else None

    def about(self, service: str | None) -> str | None:
        """The page on which more is said."""
        if self.dashboard is None:
            return None
        return f"{self.dashboard.rstrip('/')}/services/{service}" if service else f"{self.dashboard.rstrip('/')}/"
