"""The command: arguments in, API calls out.

One file per group of commands. Each imports what it needs when it runs, so that `--help` and the shell's
completion answer at once. Exit codes everywhere: 0 done and good, 1 done and something is not good, 2 wrong
usage or configuration, 3 the server cannot be reached.
"""

import os
import sys

import typer

from reconciler.cli import (
    actions,
    check,
    cron,
    doctor,
    history,
    lock,
    logs,
    new,
    plan,
    schema,
    secrets,
    serve,
    status,
    sync,
    token,
)
from reconciler.cli.server import Unreachable
from reconciler.cli.terminal import complain
from reconciler.misconfigured import Misconfigured

WRONG, UNREACHABLE = 2, 3

app = typer.Typer(
    name="reconciler",
    help="Push a folder with a FastAPI router to git; seconds later it is a live, tested service.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    serve,
    check,
    status,
    sync,
    plan,
    logs,
    history,
    actions,
    cron,
    new,
    lock,
    schema,
    secrets,
    doctor,
    token,
):
    group.add_to(app)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True)) -> None:
    if version:
        from reconciler import __version__

        typer.echo(f"reconciler {__version__}")
        raise typer.Exit


def main() -> None:
    try:
        app(prog_name="reconciler")
    except Misconfigured as error:
        complain(str(error))
        sys.exit(WRONG)
    except Unreachable as error:
        complain(str(error))
        sys.exit(UNREACHABLE)
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; Python would complain once more while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
