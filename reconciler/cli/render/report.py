"""What a check found: every subject it looked at, with its problems and warnings."""

from dataclasses import dataclass

from reconciler.model.problem import Problem
from reconciler.model.problem_text import Severity


@dataclass(frozen=True, slots=True)
class Subject:
    """One service, or one file that belongs to none."""

    name: str
    file: str | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    seconds: float = 0.0
    told: str = ""
    """The same problems at length, where there is more to say than fits into them: a suite's failures, a traceback."""
    cases: int = 0
    """How many cases of its suites were played."""

    @property
    def is_good(self) -> bool:
        return not self.problems


@dataclass(frozen=True, slots=True)
class Report:
    subjects: tuple[Subject, ...]
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        return all(subject.is_good for subject in self.subjects)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(problem for subject in self.subjects for problem in subject.problems)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for subject in self.subjects for problem in subject.warnings)

    @property
    def findings(self) -> tuple[tuple[Severity, Problem], ...]:
        """Every problem, then every warning."""
        told: list[tuple[Severity, Problem]] = [("error", problem) for problem in self.problems]
        return (*told, *(("warning", problem) for problem in self.warnings))

    @property
    def verdict(self) -> str:
        """`5 checked: 3 good, 2 not (41 cases, 7 problems, 1 warning)`"""
        bad = sum(not subject.is_good for subject in self.subjects)
        cases = sum(subject.cases for subject in self.subjects)
        told = [counted(cases, "case")] * bool(cases)
        told += [counted(len(self.problems), "problem")] * bool(self.problems)
        told += [counted(len(self.warnings), "warning")] * bool(self.warnings)
        parts = f" ({', '.join(told)})" if told else ""
        total = len(self.subjects)
        if not total:
            return "nothing to check"
        return (
            f"{total} checked: all good{parts}" if not bad else f"{total} checked: {total - bad} good, {bad} not{parts}"
        )


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
