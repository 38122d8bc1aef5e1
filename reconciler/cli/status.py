"""`reconciler status`: what is true now, at a glance or for one service in full."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from reconciler.cli.glance import glance
from reconciler.cli.portrait import portrait
from reconciler.cli.server import DATA, DataOption, JsonOption, Server, find, segment
from reconciler.cli.standing import Service, in_trouble, is_good, source_is_good
from reconciler.cli.terminal import Screen, say


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server told: of everything, or of one service."""

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

    def lines(self, screen: Screen) -> list[str]:
        if self.platform is None:
            return portrait(self.services[0], screen)
        return glance(self.platform, self.services, screen)


def add_to(app: typer.Typer) -> None:
    app.command()(status)


def status(
    name: Annotated[str | None, typer.Argument(help="One service, in full.")] = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Say what is true now. Exit code 1 when something is not good."""
    seen = look(find(data), name)
    if as_json:
        say(json.dumps(seen.told, indent=2))
    else:
        for line in seen.lines(Screen.of(sys.stdout)):
            say(line)
    raise typer.Exit(0 if seen.is_good else 1)


def look(server: Server, name: str | None) -> Seen:
    if name is not None:
        return Seen(None, [server.get(f"/v1/services/{segment(name)}")])
    return Seen(server.get("/v1/status"), list(server.items("/v1/services")))
