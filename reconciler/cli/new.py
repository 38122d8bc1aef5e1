"""`reconciler new`: a service to begin with: a router, a manifest and a suite that passes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.root import root_of
from reconciler.cli.terminal import say
from reconciler.misconfigured import Misconfigured

if TYPE_CHECKING:
    from reconciler.model.platform import Platform

ROUTER = '''"""What {name} is for."""

from fastapi import APIRouter

router = APIRouter()


@router.get("/")
def greet(name: str = "world") -> dict[str, str]:
    return {{"message": f"Hello, {{name}}!"}}
'''

MANIFEST = """version: 1
description: What {name} is for
"""

SUITE = """version: 1
cases:
  - name: greets the world
    GET: /
    expect:
      status: 200
      json: {$.message: "Hello, world!"}

  - name: greets by name
    GET: /
    query: {name: Ada}
    expect:
      json: {$.message: "Hello, Ada!"}
"""

PLATFORM = "version: 1\n"


def add_to(app: typer.Typer) -> None:
    app.command()(new)


def new(
    name: Annotated[str, typer.Argument(help="The service's name: a-z, 0-9, _ and -, a letter first.")],
    path: Annotated[
        Path, typer.Option("--in", help="The repository.", show_default="the one around this folder")
    ] = Path(),
) -> None:
    """Make a service that passes `reconciler check`."""
    from reconciler.model.names import is_service_name

    if not is_service_name(name):
        raise Misconfigured(f"{name!r} is no name for a service: a-z, 0-9, _ and -, a letter first, 63 at most")
    root = root_of(path.resolve())
    platform = root / "services.yaml"
    folder = _services_folder(platform) / name
    if folder.exists():
        raise Misconfigured(f"{folder} exists already")
    folder.mkdir(parents=True)
    files = {"router.py": ROUTER.format(name=name), "service.yaml": MANIFEST.format(name=name), "tests.yaml": SUITE}
    for file, text in files.items():
        (folder / file).write_text(text)
    if not platform.exists():
        platform.write_text(PLATFORM)
    say(f"{_shown(folder)}/: {', '.join(files)}")
    say("Commit it, and it is live.")


def _services_folder(platform: Path) -> Path:
    """The folder above the last part of the glob: `services` for `services/*`."""
    pattern = _read(platform).services
    parent, _, last = pattern.rpartition("/")
    if last != "*" or "*" in parent:
        raise Misconfigured(f"{platform} keeps services at {pattern!r}, which does not say where a new one belongs")
    return platform.parent / parent


def _read(path: Path) -> "Platform":
    from reconciler.model.document import Invalid
    from reconciler.model.platform import read_platform

    try:
        return read_platform(path.read_bytes() if path.exists() else None)
    except Invalid as error:
        first = error.problems[0]
        raise Misconfigured(f"{first.place}: {first.message}") from error


def _shown(folder: Path) -> str:
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)
