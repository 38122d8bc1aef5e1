"""A report as a person reads it: what failed first and whole, what passed as a count.

A failure tells, in this order, where it stands, what was expected and came, how to ask the same again, what the
service answered, and what it logged meanwhile.
"""

from collections.abc import Iterator

from reconciler.model.suite.expectation import Mismatch
from reconciler.model.verdict import CaseResult, Outcome, Report, Response, SuiteResult, Verdict

MARKS = {Outcome.PASSED: "✓", Outcome.FAILED: "✗", Outcome.SKIPPED: "-", Outcome.INCONCLUSIVE: "?"}
INDENT = "    "
BODY_LINES = 12


def text(report: Report, *, every_case: bool = False) -> str:
    lines = [line for suite in report.suites for line in _suite(suite, every_case)]
    return "\n".join([*lines, *_end(report)]) + "\n"


def _suite(suite: SuiteResult, every_case: bool) -> Iterator[str]:
    if suite.first is not None and suite.flaky:
        yield f"{suite.name} is flaky: it failed, was played again, and passed. The first time:"
        yield ""
        yield from _cases(suite.first, every_case=False)
    yield from _cases(suite, every_case)
    if suite.verdict is Verdict.INCONCLUSIVE and not any(case.curl for case in suite.cases):
        yield f"? {suite.name}: {suite.reason}"
        yield ""


def _cases(suite: SuiteResult, every_case: bool) -> Iterator[str]:
    for case in suite.cases:
        if case.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE):
            yield from failure(case)
        elif every_case:
            yield f"{MARKS[case.outcome]} {case.name} ({_seconds(case.seconds)})" + (
                f": {case.reason}" if case.reason else ""
            )


def failure(case: CaseResult) -> Iterator[str]:
    part = "" if case.part == "cases" else f" ({case.part})"
    yield f"{MARKS[case.outcome]} {case.name}{part}"
    yield f"  --> {case.file}:{case.line}"
    if case.excerpt:
        yield f"{case.line:>5} | {case.excerpt}"
    if case.attempts > 1:
        yield f"{INDENT}after {case.attempts} attempts in {_seconds(case.seconds)}"
    if case.reason:
        yield f"{INDENT}{case.reason}"
    for mismatch in case.mismatches:
        yield from _mismatch(mismatch, case)
    if case.curl:
        yield f"{INDENT}request   {case.curl}"
    if case.response:
        yield from _response(case.response)
    for number, line in enumerate(case.logs):
        yield f"{INDENT}{'log' if number == 0 else '':<10}{line}"
    yield ""


def _mismatch(mismatch: Mismatch, case: CaseResult) -> Iterator[str]:
    place = f"  (line {mismatch.line})" if mismatch.line not in (None, case.line) else ""
    yield f"{INDENT}{mismatch.what}{place}"
    yield f"{INDENT}  expected  {mismatch.expected}"
    yield f"{INDENT}  got       {mismatch.got}"


def _response(response: Response) -> Iterator[str]:
    media_type = next((value for name, value in response.headers if name.lower() == "content-type"), "no content type")
    yield f"{INDENT}response  {response.status}, {media_type}, {response.size:,} bytes"
    lines = response.body.split("\n") if response.body else []
    for line in lines[:BODY_LINES]:
        yield f"{INDENT}          {line}"
    if len(lines) > BODY_LINES:
        yield f"{INDENT}          … {len(lines) - BODY_LINES} more lines"


def _end(report: Report) -> Iterator[str]:
    cases = report.cases
    counts = [(outcome, sum(case.outcome is outcome for case in cases)) for outcome in Outcome]
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts if count) or "no case was played"
    flaky = ", flaky" if report.flaky else ""
    yield f"{report.verdict}{flaky}: {report.service} ({report.release}): {told} in {_seconds(report.seconds)}"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
