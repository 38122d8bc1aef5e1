"""What playing suites concluded, in full: plain values that become terminal text, JSON, JUnit, TAP and problems.

Every text in here has been redacted and cut by whoever made it; whoever shows it need not think of secrets.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from reconciler.model.problem import Problem
from reconciler.model.suite.case import Part
from reconciler.model.suite.expectation import Mismatch


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    """The suite itself could not be played, so nothing is known about the service."""


class Outcome(StrEnum):
    """What became of one case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not played, because of something before it."""
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Response:
    """What came back, cut to a size a person reads."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str
    size: int
    """Bytes that came."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    name: str
    part: Part
    outcome: Outcome
    file: str
    line: int
    excerpt: str | None = None
    """The line of the case as it stands in the file."""
    seconds: float = 0.0
    attempts: int = 0
    reason: str | None = None
    """Why there was nothing to compare, or why it was not played."""
    mismatches: tuple[Mismatch, ...] = ()
    request_id: str | None = None
    """Sent as `X-Request-Id`."""
    curl: str | None = None
    """The request for a shell; this and the next only of a case that did not pass."""
    hurl: str | None = None
    """The request and its expectations as a `.hurl` entry."""
    response: Response | None = None
    logs: tuple[str, ...] = ()
    """The service's own lines for that request."""

    @property
    def summary(self) -> str:
        """One sentence: what is wrong."""
        if self.mismatches:
            more = len(self.mismatches) - 1
            return self.mismatches[0].sentence + (f" (and {more} more)" if more else "")
        return self.reason or self.outcome


@dataclass(frozen=True, slots=True)
class SuiteResult:
    name: str
    file: str
    verdict: Verdict
    reason: str | None = None
    """Why it is inconclusive."""
    cases: tuple[CaseResult, ...] = ()
    seconds: float = 0.0
    requests: int = 0
    first: "SuiteResult | None" = None
    """What it said the first time, when a failed suite was played again."""
    only_reports: bool = False
    """Whatever it says, the verdict of the report is that of the others."""

    @property
    def flaky(self) -> bool:
        return self.first is not None and self.first.verdict is not self.verdict

    def count(self, outcome: Outcome) -> int:
        return sum(case.outcome is outcome for case in self.cases)

    @property
    def summary(self) -> str:
        bad = next((case for case in self.cases if case.outcome is Outcome.FAILED), None)
        if bad is not None:
            return f"{bad.name}: {bad.summary}"
        return self.reason or ("nothing" if self.verdict is Verdict.PASSED else self.verdict)


@dataclass(frozen=True, slots=True)
class Report:
    service: str
    release: str
    verdict: Verdict
    suites: tuple[SuiteResult, ...] = ()
    seconds: float = 0.0

    @property
    def flaky(self) -> bool:
        return any(suite.flaky for suite in self.suites)

    @property
    def cases(self) -> tuple[CaseResult, ...]:
        return tuple(case for suite in self.suites for case in suite.cases)

    @property
    def failing(self) -> tuple[CaseResult, ...]:
        return tuple(case for case in self.cases if case.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE))

    @property
    def summary(self) -> str:
        """One sentence for a status, a commit or a log."""
        beside = [f"{suite.name} found: {suite.summary}" for suite in self.suites if suite.only_reports]
        return "; ".join([replace(self, suites=self._deciding)._judgement, *beside])

    @property
    def _deciding(self) -> tuple[SuiteResult, ...]:
        return tuple(suite for suite in self.suites if not suite.only_reports)

    @property
    def _judgement(self) -> str:
        played = self.cases
        if not played:
            reason = next((suite.reason for suite in self.suites if suite.reason), None)
            return reason or "no case was played"
        passed = sum(case.outcome is Outcome.PASSED for case in played)
        told = f"{passed} of {len(played)} cases passed"
        if self.verdict is Verdict.PASSED:
            return told + (", after a first try that failed" if self.flaky else "")
        reason = next((f"{suite.name}: {suite.reason}" for suite in self.suites if suite.reason), None)
        first = next(iter(self.failing), None)
        why = f"{first.name}: {first.summary}" if first and self.verdict is Verdict.FAILED else reason
        return f"{told}; {why}" if why else told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Report":
        """What `to_json` told; raises `ValueError` when it is something else."""
        known = {field.name for field in fields(cls)}
        return _adapter().validate_python({name: value for name, value in told.items() if name in known})

    def to_json(self) -> dict[str, Any]:
        return {**_plain(asdict(self)), "flaky": self.flaky, "summary": self.summary}


@cache
def _adapter() -> "TypeAdapter[Report]":
    return TypeAdapter(Report)


def worst(verdicts: "tuple[Verdict, ...] | list[Verdict]") -> Verdict:
    """One failed suite fails all; without a failure, one that could not be played leaves all in doubt."""
    for verdict in (Verdict.FAILED, Verdict.INCONCLUSIVE):
        if verdict in verdicts:
            return verdict
    return Verdict.PASSED


def problems(report: Report) -> tuple[Problem, ...]:
    """Every mismatch as the product's one kind of problem, for annotations, status and terminal."""
    found = [problem for case in report.failing for problem in _of_case(case, report.service)]
    for suite in report.suites:
        if suite.verdict is Verdict.INCONCLUSIVE and suite.reason and not any(p.file == suite.file for p in found):
            found.append(Problem(f"{suite.name}: {suite.reason}", "suite-inconclusive", report.service, suite.file, 1))
    return tuple(found)


def _of_case(case: CaseResult, service: str) -> list[Problem]:
    blank = Problem(
        f"{case.name}: {case.reason}", f"case-{case.outcome}", service, case.file, case.line, excerpt=case.excerpt
    )
    if not case.mismatches:
        return [blank]
    return [
        replace(
            blank,
            message=f"{case.name}: {mismatch.what} is {mismatch.got}",
            file=mismatch.file or case.file,
            line=mismatch.line or case.line,
            excerpt=case.excerpt if mismatch.line in (None, case.line) else None,
            expected=mismatch.expected,
        )
        for mismatch in case.mismatches
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
