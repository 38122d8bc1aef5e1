"""`reconciler token create|list|revoke`: who may do what with a running server."""

from typing import Annotated

import typer

from reconciler.cli.moments import ago
from reconciler.cli.server import DATA, DataOption, JsonOption, find, segment
from reconciler.cli.table import Cell, say_table
from reconciler.cli.terminal import paint, safe, say
from reconciler.misconfigured import Misconfigured

STATES = {"good": "green", "expired": "yellow", "revoked": "dim"}

token = typer.Typer(help="Access tokens: make, list and revoke them.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(token, name="token")


@token.command()
def create(
    name: Annotated[str, typer.Argument(help="Whom or what it is for; shown as the actor of what is done with it.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="`read`, `deploy`, `secrets` or `admin`. Repeatable.")
    ] = None,
    service: Annotated[
        list[str] | None, typer.Option("--service", help="Only this service, and nothing of the platform. Repeatable.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="After how long: 12h, 90d.", show_default="never")
    ] = None,
    data: DataOption = DATA,
) -> None:
    """Make a token and print it, this once. Without --scope it may only read."""
    wish = {"name": name, "scopes": scope or ["read"], "services": service, "lasts": _seconds(expires)}
    made = find(data).post("/v1/tokens", body={field: value for field, value in wish.items() if value is not None})
    typer.echo(f"{made['id']}: {', '.join(made['scopes'])}{_only(made['services'])}", err=True)
    say(made["token"])


@token.command("list")
def list_(json: JsonOption = False, data: DataOption = DATA) -> None:
    """All tokens and browser sessions, never their secrets."""
    listed = list(find(data).items("/v1/tokens"))
    if json:
        from json import dumps

        say(dumps(listed, indent=2))
        return
    rows = [
        (
            Cell(each["id"]),
            Cell(each["state"], STATES[each["state"]]),
            Cell(", ".join(each["scopes"])),
            Cell(f"used {ago(each['used_at'])}" if each["used_at"] else "never used", "dim"),
            Cell(safe(f"{each['name']}{_only(each['services'])}{' (browser)' * (each['kind'] == 'session')}")),
        )
        for each in listed
    ]
    say_table(rows)


@token.command()
def revoke(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `token list` shows it.")], data: DataOption = DATA
) -> None:
    """Make a token worthless, at once, and what was made with it."""
    revoked = find(data).delete(f"/v1/tokens/{segment(identity)}")
    say(f"{paint('✓', 'green')} {safe(revoked['id'])} ({safe(revoked['name'])}) is revoked")


def _seconds(expires: str | None) -> int | None:
    if expires is None:
        return None
    from reconciler.model import duration

    lasts = duration.seconds(expires)
    if not lasts or lasts < 60:
        raise Misconfigured(f"--expires {expires!r} is no duration of a minute or more; write 12h or 90d")
    return int(lasts)


def _only(services: list[str] | None) -> str:
    return f", only {', '.join(services)}" if services else ""
