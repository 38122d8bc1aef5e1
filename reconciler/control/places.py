"""Files as people know them: a worker names those that it failed over as they lie in its own folder."""

import posixpath
from dataclasses import replace
from pathlib import Path

from reconciler.model.failure import Failure
from reconciler.model.problem import Problem


def in_repository(failure: Failure, folder: str, home: Path) -> None:
    """Name files by their path in the repository; `home` is where the release's code lies on this machine."""
    failure.problems = tuple(_placed(problem, folder) for problem in failure.problems)
    failure.detail = failure.detail and failure.detail.replace(f"{home}/", "")


def _placed(problem: Problem, folder: str) -> Problem:
    return replace(problem, file=posixpath.normpath(posixpath.join(folder, problem.file))) if problem.file else problem
