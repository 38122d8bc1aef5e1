"""What the server told at one moment: of everything, or of one service."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.cli.glance import glance
from reconciler.cli.portrait import portrait
from reconciler.cli.server import Server, segment
from reconciler.cli.standing import Service, in_trouble, is_good, source_is_good
from reconciler.cli.terminal import Screen


@dataclass(frozen=True, slots=True)
class Seen:
    platform: dict[str, Any] | None
    services: Sequence[Service]

    @property
    def is_good(self) -> bool:
        well = self.platform is None or (source_is_good(self.platform) and not in_trouble(self.platform))
        return well and all(is_good(service) for service in self.services)

    @property
    def told(self) -> Any:
        """For programs."""
        if self.platform is None:
            return self.services[0]
        return {"platform": self.platform, "services": list(self.services)}

    def lines(self, screen: Screen, *, worst_first: bool = False) -> list[str]:
        if self.platform is None:
            return portrait(self.services[0], screen)
        services = sorted(self.services, key=is_good) if worst_first else self.services
        return glance(self.platform, services, screen)


def look(server: Server, name: str | None) -> Seen:
    if name is not None:
        return Seen(None, [server.get(f"/v1/services/{segment(name)}")])
    return Seen(server.get("/v1/status"), list(server.items("/v1/services")))
