"""`reconciler secrets set|list|rm|rotate-key`: the encrypted store of a running server.

A value comes from a pipe or is typed unseen. Refuses to take one as an argument, where every user of the machine and
the shell's history would see it.
"""

import getpass
import json
import sys
from typing import Annotated, Any

import typer

from reconciler.cli.moments import ago
from reconciler.cli.server import DATA, DataOption, JsonOption, find, segment
from reconciler.cli.table import Cell, say_table
from reconciler.cli.terminal import paint, safe, say
from reconciler.misconfigured import Misconfigured

MOST_READ = 2 * 1024 * 1024
"""More than any value may have; the server says what it may."""

NameArgument = Annotated[str, typer.Argument(help="The secret: the name of an environment variable.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Keep the values that manifests name below `secrets`.")
    group.command("set")(set_)
    group.command("list")(list_)
    group.command("rm")(rm)
    group.command("rotate-key")(rotate_key)
    app.add_typer(group, name="secrets")


def set_(
    name: NameArgument,
    exact: Annotated[bool, typer.Option("--exact", help="Keep the line break at the end of what is piped.")] = False,
    data: DataOption = DATA,
) -> None:
    """Store a value, read from standard input or typed unseen. Services that name it get a release with it."""
    server = find(data)
    taken = server.put(f"/v1/secrets/{segment(name)}", {"value": _read(name, exact=exact)})
    for warning in taken["warnings"]:
        sys.stderr.write(f"{paint('warning:', 'yellow', sys.stderr)} {safe(warning)}\n")
    say(safe(taken["message"]))


def list_(
    name: Annotated[str | None, typer.Argument(help="Its versions.", show_default="all secrets")] = None,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Say which secrets there are, or who set one when. Values are never told."""
    server = find(data)
    if name is None:
        items = list(server.items("/v1/secrets"))
    else:
        items = server.get(f"/v1/secrets/{segment(name)}")["versions"]
    if as_json:
        say(json.dumps(items, indent=2))
    else:
        say_table([_secret_row(item) if name is None else _version_row(item) for item in items])


def rm(name: NameArgument, data: DataOption = DATA) -> None:
    """Remove a secret. What runs keeps the value it was made with; new releases that name it are refused."""
    say(safe(find(data).delete(f"/v1/secrets/{segment(name)}")["message"]))


def rotate_key(data: DataOption = DATA) -> None:
    """Put all secrets under a new master key. May be interrupted at any point; nothing is released anew."""
    key = find(data).post("/v1/secrets-key/rotate")["key"]
    say(f"all secrets are under the new key {safe(key)}; replace the copies of the key file that you keep")


def _read(name: str, *, exact: bool) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"{name} (unseen): ")
    content = sys.stdin.buffer.read(MOST_READ)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise Misconfigured(
            f"{name} is binary, and environment variables hold text; encode it: "
            f"`base64 -w0 FILE | reconciler secrets set {name}`"
        ) from error
    # `echo` and most editors end with a line break that belongs to nobody's password.
    return text if exact else text.removesuffix("\n").removesuffix("\r")


def _secret_row(secret: dict[str, Any]) -> tuple[Cell, ...]:
    return (
        Cell(safe(secret["name"]), "bold"),
        Cell(f"version {secret['version']}"),
        Cell(f"{ago(secret['set_at'])} by {safe(secret['set_by'])}", "dim"),
        Cell(safe(", ".join(secret["used_by"])) or "used by no service"),
    )


def _version_row(version: dict[str, Any]) -> tuple[Cell, ...]:
    state = "removed" if version["removed"] else "set" if version["kept"] else "set, and erased since"
    return (
        Cell(f"version {version['version']}", "bold"),
        Cell(state),
        Cell(f"{ago(version['at'])} by {safe(version['by'])}", "dim"),
    )
