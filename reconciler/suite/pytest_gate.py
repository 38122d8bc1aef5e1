"""Pytest files of a service as a slower gate: run in the service's own environment, told as a report like any other.

They reach the candidate through `RECONCILER_BASE_URL`, a loopback address that control gives. The process is bounded
in time and output and is killed with everything it started; it is closed as a worker is, with the limits of the
service, and its environment holds nothing of this process.
"""

import asyncio
import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as Xml

from reconciler.model.verdict import CaseResult, Outcome, Report, SuiteResult, Verdict, worst
from reconciler.suite import telling
from reconciler.suite.surroundings import surroundings
from reconciler.suite.target import Target
from reconciler.suite.telling import Redact, identity

INSIDE: Final = Path(__file__).parent.parent / "inside"
SECONDS: Final = 60.0
LARGEST_RESULT: Final = 4 << 20
LONGEST_OUTPUT: Final = 4_000
ROOM: Final = 64 * 1024
NO_TESTS: Final = 5
OPTIONS: Final = ("-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1", "-o", "junit_logging=system-out")
RULER: Final = re.compile(r"-{3,} Captured \w+ -{3,}$")
NOT_THERE: Final = "pytest is not in the service's environment; add `pytest` to its `requirements`"


@dataclass(frozen=True, slots=True)
class PytestRun:
    python: Path
    """The interpreter of the service's environment."""
    folder: Path
    """The release's folder; the files are relative to it, and it is the working directory."""
    files: Sequence[str]
    base_url: str
    """`http://127.0.0.1:<port>/api/tasks`: where the candidate answers for the length of the run."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The service's plain settings. No secrets: this process's environment can be read in `/proc`."""
    seconds: float = SECONDS
    shown: str = ""
    """What stands before a file's name in the repository: `services/tasks`."""
    open_files: int | None = None
    """The service's own limits; memory in bytes."""
    memory: int | None = None


async def run_pytest(run: PytestRun, target: Target, *, redact: Redact = identity) -> Report:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rcl-pytest-") as place:
        result = Path(place) / "result.xml"
        status, output = await _execute(run, result, Path(place))
        suite = _told(run, status, output, result, redact)
    seconds = time.monotonic() - started
    return Report(target.service, target.release, worst([suite.verdict]), (suite,), seconds)


async def _execute(run: PytestRun, result: Path, place: Path) -> tuple[int | None, str]:
    """Exit status (None when time ran out) and the end of the output."""
    limits = (str(run.open_files or 0), str(run.memory or 0))
    words = [
        str(run.python),
        str(INSIDE),
        "tester",
        *limits,
        *OPTIONS,
        f"--junitxml={result}",
        "--rootdir=.",
        *run.files,
    ]
    output = place / "output"
    with output.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *words, cwd=run.folder, env=_environ(run, place), stdin=asyncio.subprocess.DEVNULL,
            stdout=stream, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(run.seconds):
                await _finish(process, output)
        except TimeoutError:
            return None, _end_of(output)
        finally:
            _kill_session(process)
            await process.wait()
    return process.returncode, _end_of(output)


async def _finish(process: asyncio.subprocess.Process, output: Path) -> None:
    """Until it ends, or writes more than anybody reads."""
    while process.returncode is None:
        waiting = asyncio.ensure_future(process.wait())
        await asyncio.wait([waiting], timeout=0.2)
        if output.stat().st_size > 8 * LARGEST_RESULT:
            raise TimeoutError
        waiting.cancel()


def _environ(run: PytestRun, place: Path) -> dict[str, str]:
    own = {"PYTHONPATH": str(run.folder), **run.environ, "RECONCILER_BASE_URL": run.base_url}
    return {**surroundings(place), **own}


def _kill_session(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _told(run: PytestRun, status: int | None, output: str, result: Path, redact: Redact) -> SuiteResult:
    name = ", ".join(run.files)
    file = f"{run.shown}/{run.files[0]}" if run.shown else run.files[0]
    # What stands at the end explains the rest.
    text = redact(output)[-LONGEST_OUTPUT:]
    if "No module named pytest" in output:
        return SuiteResult(name, file, Verdict.INCONCLUSIVE, NOT_THERE)
    if status is None:
        return SuiteResult(name, file, Verdict.INCONCLUSIVE, f"pytest was stopped after {run.seconds:g} s\n{text}")
    if status == NO_TESTS:
        return SuiteResult(name, file, Verdict.INCONCLUSIVE, "pytest found no tests in these files")
    cases = tuple(_cases(run, result, redact))
    if status not in (0, 1) or not cases:
        return SuiteResult(name, file, Verdict.INCONCLUSIVE, f"pytest ended with status {status}\n{text}", cases)
    verdict = Verdict.PASSED if status == 0 else Verdict.FAILED
    return SuiteResult(name, file, verdict, None, cases, sum(case.seconds for case in cases))


def _cases(run: PytestRun, result: Path, redact: Redact) -> Iterator[CaseResult]:
    try:
        content = result.read_bytes()
        root = Xml.fromstring(content) if len(content) <= LARGEST_RESULT else None  # noqa: S314 - expat bounds entities
    except (OSError, Xml.ParseError):
        return
    for element in root.iter("testcase") if root is not None else ():
        yield _case(run, element, redact)


def _case(run: PytestRun, element: Xml.Element, redact: Redact) -> CaseResult:
    problem = next((one for one in element if one.tag in ("failure", "error", "skipped")), None)
    outcome = {None: Outcome.PASSED, "skipped": Outcome.SKIPPED}.get(
        problem.tag if problem is not None else None, Outcome.FAILED
    )
    file = element.get("file", run.files[0])
    said = f"{problem.get('message', '')}\n{problem.text or ''}" if problem is not None else ""
    output = "".join(one.text or "" for one in element if one.tag == "system-out")
    return CaseResult(
        name=telling.line(element.get("name", "?"), redact, 200),
        part="cases",
        outcome=outcome,
        file=f"{run.shown}/{file}" if run.shown else file,
        line=int(element.get("line", "0")) + 1,
        seconds=float(element.get("time", "0")),
        attempts=1,
        reason=telling.paragraph(said.strip(), redact, LONGEST_OUTPUT) if said else None,
        logs=telling.logs([one for one in output.splitlines() if one and not RULER.match(one)], redact),
    )


def _end_of(output: Path) -> str:
    """Whole lines: the end of one that is cut could be the end of a secret, which nobody would recognise."""
    with output.open("rb") as stream:
        if (before := output.stat().st_size - ROOM) > 0:
            stream.seek(before - 1)
            stream.readline()
        return stream.read().decode("utf-8", "replace")
