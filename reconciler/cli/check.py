"""`reconciler check`: everything a push would be told, before it is pushed, without a server."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from reconciler.cli.progress import Progress
from reconciler.cli.root import root_of
from reconciler.misconfigured import Misconfigured

if TYPE_CHECKING:
    from reconciler.cli.render.report import Report, Subject
    from reconciler.control.checking import Checked, Survey
    from reconciler.control.secrets import Secrets
    from reconciler.environment import Environments
    from reconciler.source.working import WorkingTree

T = TypeVar("T")

INTERRUPTED = 1

IndexOption = Annotated[
    list[str] | None,
    typer.Option(
        "--index",
        envvar="RECONCILER_INDEX",
        help="A package index. Repeatable, in order of trust: the first that knows a name is the only one asked for "
        "it.",
    ),
]
BuildOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-build",
        envvar="RECONCILER_ALLOW_BUILD",
        help="A package that may run code outside of workers: be built from source, or bring a .pth file; `*` "
        "allows all. Repeatable.",
    ),
]
UrlOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-url", envvar="RECONCILER_ALLOW_URL", help="A host from which a requirement may be a direct URL."
    ),
]
PlaceOption = Annotated[
    Path, typer.Option("--data", envvar="RECONCILER_DATA", help="Environments are kept in `check` below this folder.")
]
SinceOption = Annotated[
    str | None, typer.Option("--changed-since", metavar="REF", help="Only services that differ from this commit.")
]
EnvFileOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--env-file",
        envvar="RECONCILER_ENV_FILE",
        help="A dotenv file with values for secrets, which are otherwise taken from the environment. Repeatable.",
    ),
]
PLACE = Path(".reconciler")


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    JUNIT = "junit"


def add_to(app: typer.Typer) -> None:
    app.command()(check)


def check(
    path: Annotated[
        Path, typer.Argument(help="A repository, or a folder in it for its services only.", show_default="this folder")
    ] = Path(),
    changed_since: SinceOption = None,
    form: Annotated[Format, typer.Option("--format", help="How to tell what was found.")] = Format.TEXT,
    no_tests: Annotated[bool, typer.Option("--no-tests", help="Start the services, and play no suite.")] = False,
    data: PlaceOption = PLACE,
    index: IndexOption = None,
    allow_build: BuildOption = None,
    allow_url: UrlOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """Validate every manifest and suite, start the services, play the suites, stop. Needs no server.

    Reads the folder as it is, uncommitted changes included. Exit code 1 when something is wrong.
    """
    began = time.monotonic()
    # What is logged on the way is part of the report.
    logging.getLogger("reconciler").addHandler(logging.NullHandler())
    with place_below(data) as (place, run), Progress.on(sys.stderr) as progress:
        found = interruptible(
            _check(
                path.resolve(),
                changed_since,
                place,
                run,
                tests=not no_tests,
                environments=lambda: environments_in(place, index, allow_build),
                secrets=given_secrets(env_file),
                hosts=tuple(allow_url or ()),
                progress=progress,
            )
        )
    report = as_report(found, time.monotonic() - began)
    _tell(report, form)
    raise typer.Exit(0 if report.is_good else 1)


async def _check(
    path: Path,
    changed_since: str | None,
    place: Path,
    run: Path,
    *,
    tests: bool,
    environments: "Callable[[], Environments]",
    secrets: "Secrets",
    hosts: tuple[str, ...],
    progress: Progress,
) -> "tuple[Checked, ...]":
    from reconciler.control import checking
    from reconciler.control.trial import TrialFolders
    from reconciler.model.failure import Failure
    from reconciler.model.names import Revision
    from reconciler.source.working import WorkingTree

    root = root_of(path)
    try:
        working = await asyncio.to_thread(WorkingTree.take, root, place / "tree")
        found = checking.survey(working.tree, Revision("working-tree", working.sha), hosts)
        before, changed = None, None
        if changed_since is not None:
            before = survey_at(working, changed_since, hosts)
            changed = checking.changed_since(found, before)
    except Failure as failure:
        raise Misconfigured(failure.message) from failure
    below = "" if path == root else path.relative_to(root).as_posix()
    scope = checking.Scope(below, changed)
    checked = checking.read_only(found, scope, before)
    wanted = found.wanted(scope)
    if below and not checked and not wanted and changed is None:
        raise Misconfigured(f"there is no service in {path}")
    if not wanted:
        return checked
    progress.expect(len(wanted))
    shop = environments()
    await shop.open()
    try:
        folders = TrialFolders(place, run, place / "environments")
        tried = await checking.try_all(found, scope, folders, shop, secrets, tests=tests, say=progress.say)
    finally:
        await shop.close()
    return (*checked, *tried)


@contextlib.contextmanager
def place_below(data: Path) -> Iterator[tuple[Path, Path]]:
    """A folder for environments that are worth keeping, ours alone while we run, and one for sockets."""
    from reconciler.data_folder import DataFolder

    folder = DataFolder(data.absolute() / "check")
    try:
        folder.clear_predecessor()
        run = folder.make_run_folder()
        try:
            yield folder.path, run
        finally:
            import shutil

            shutil.rmtree(run, ignore_errors=True)
            folder.forget_run_folder()
    finally:
        folder.close()


def environments_in(place: Path, index: list[str] | None, allow_build: list[str] | None) -> "Environments":
    from reconciler.environment import Environments

    return Environments(place, indexes=tuple(index or ()), allow_builds=tuple(allow_build or ()))


def given_secrets(files: list[Path] | None) -> "Secrets":
    """What services get where there is no server: values of files and of the environment."""
    from reconciler.control.secrets import Secrets
    from reconciler.control.veil import Veil
    from reconciler.secrets import Given
    from reconciler.secrets.dotenv_files import TooLarge, read

    values: dict[str, str] = {}
    for file in files or ():
        try:
            values |= read(file)
        except OSError as error:
            raise Misconfigured(f"--env-file {file} cannot be read: {error.strerror}") from error
        except (UnicodeDecodeError, TooLarge) as error:
            raise Misconfigured(f"--env-file {file} is no dotenv file; write `NAME=value` on each line") from error
    given = Given(values, os.environ)
    return Secrets({"store": given, "env": given, "file": given}, Veil())


def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Run it; Ctrl-C and SIGTERM end it in order, so that nothing of it is left."""

    async def run() -> T:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        return await task

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        sys.stderr.write("stopped\n")
        raise typer.Exit(INTERRUPTED) from None


def survey_at(working: "WorkingTree", ref: str, hosts: tuple[str, ...]) -> "Survey":
    """The same folder as it was in a commit."""
    from reconciler.control.checking import survey
    from reconciler.model.names import Revision

    sha = working.at(ref)
    if sha is None:
        raise Misconfigured(f"there is no commit {ref!r} in {working.root}; a shallow clone may not have it")
    return survey(partial(working.tree, sha), Revision(ref, sha), hosts)


def as_report(found: "tuple[Checked, ...]", seconds: float) -> "Report":
    from reconciler.cli.render.report import Report

    return Report(tuple(_subject(one) for one in found), seconds)


def _subject(one: "Checked") -> "Subject":
    from reconciler.cli.render.report import Subject

    cases = len(one.report.cases) if one.report else 0
    return Subject(one.name, one.file, one.problems, one.warnings, one.seconds, _at_length(one), cases)


def _at_length(one: "Checked") -> str:
    """A failing case with its request and answer, or a problem with the output that explains it."""
    from reconciler.model.position import visible
    from reconciler.model.problem_text import problem_text
    from reconciler.suite.report.text import failure

    if one.problems and one.report is not None:
        lines = [line for case in one.report.failing for line in failure(case)]
        rest = [problem_text(problem) for problem in one.problems if problem.code == "suite-inconclusive"]
        return "\n".join([*(visible(line) for line in [f"{one.name}:", *lines][bool(not lines) :]), *rest])
    if one.detail is None:
        return ""
    detail = "\n".join(f"    {visible(line)}".rstrip() for line in one.detail.strip().splitlines())
    return "\n".join([*(problem_text(problem) for problem in one.problems), f"{detail}\n"])


def _tell(report: "Report", form: Format) -> None:
    from reconciler.cli.render import github, junit, machine, terminal
    from reconciler.cli.terminal import is_coloured

    if form is Format.JSON:
        sys.stdout.write(machine.json_text(report))
    elif form is Format.JUNIT:
        sys.stdout.write(junit.junit(report))
    elif form is Format.GITHUB:
        sys.stdout.write(github.annotations(report) + f"{report.verdict}\n")
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            github.append_summary(report, Path(summary))
    else:
        import shutil

        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        sys.stdout.write(terminal.text(report, coloured=is_coloured(sys.stdout), width=width))
