"""`reconciler schema`: the JSON Schemas of what people write, for editors and other tools."""

from enum import StrEnum
from typing import Annotated

import typer

from reconciler.cli.terminal import say


class Kind(StrEnum):
    SERVICES = "services"
    SERVICE = "service"
    SUITE = "suite"


def add_to(app: typer.Typer) -> None:
    app.command()(schema)


def schema(kind: Annotated[Kind, typer.Argument(help="services.yaml, service.yaml or a suite.")]) -> None:
    """Print the JSON Schema of a format."""
    from reconciler.model.schema import published

    say(published(kind.value).rstrip())
