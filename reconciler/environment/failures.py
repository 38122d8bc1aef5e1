"""The failures of this package, each with the code that tools know it by and what a person can do."""

import signal

from reconciler.model.failure import Failure, Reason, Stalled, Wait
from reconciler.model.problem import Problem
from reconciler.model.requirement_line import Line

AGAIN = 30.0


class Killed(Wait):
    """Somebody ended the program in the middle: no fault of the requirements."""


def stalled(code: str, message: str, remedy: str, *, line: Line | None = None, detail: str = "") -> Stalled:
    problem = line.problem(code, message, remedy) if line else Problem(message, code, remedy=remedy)
    return Stalled(Reason.REQUIREMENTS_FAILED, message, problems=(problem,), detail=detail or None)


def wait(code: str, message: str, remedy: str, *, detail: str = "", after: float = AGAIN) -> Wait:
    problem = Problem(message, code, remedy=remedy)
    return Wait(Reason.REQUIREMENTS_FAILED, message, after=after, problems=(problem,), detail=detail or None)


def disk_full(detail: str = "") -> Wait:
    return wait("disk-full", "the disk is full; nothing was kept of the attempt", "Free some space", detail=detail)


def out_of_time(program: str, seconds: float) -> Wait:
    return wait("timed-out", f"{program} was stopped after {seconds:g} s", "See whether the package index is slow")


def unusable(why: str) -> Wait:
    message = f"the program uv cannot be run: {why}"
    return wait("uv-unusable", message, "Install reconciler again; `reconciler doctor` says more")


def killed(number: int) -> Failure:
    if number == signal.SIGXFSZ:
        return stalled("file-too-large", "a package holds a larger file than is installed", "Require another version")
    problem = Problem(f"uv was killed by signal {number}", "uv-killed", remedy="See whether memory is short")
    return Killed(Reason.REQUIREMENTS_FAILED, problem.message, after=AGAIN, problems=(problem,))
