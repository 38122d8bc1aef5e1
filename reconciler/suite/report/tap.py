"""A report as TAP 14: one test point for each case, failures with a YAML block.

https://testanything.org/tap-version-14-specification.html
"""

import json
from collections.abc import Iterator

from reconciler.model.verdict import CaseResult, Outcome, Report, SuiteResult, Verdict


def tap(report: Report) -> str:
    points = [point for suite in report.suites for point in _points(suite)]
    lines = ["TAP version 14", f"1..{len(points)}"]
    for number, (good, rest, details) in enumerate(points, start=1):
        lines.append(f"{'ok' if good else 'not ok'} {number} - {rest}")
        lines += [f"  {line}" for line in details]
    return "\n".join(lines) + "\n"


def _points(suite: SuiteResult) -> Iterator[tuple[bool, str, list[str]]]:
    if suite.verdict is Verdict.INCONCLUSIVE and not suite.count(Outcome.INCONCLUSIVE):
        yield False, _escaped(f"{suite.name}: {suite.reason}"), []
    for case in suite.cases:
        name = _escaped(f"{suite.name}: {case.name}")
        if case.outcome is Outcome.SKIPPED:
            yield True, f"{name} # SKIP {_escaped(case.reason or '')}", []
        else:
            yield case.outcome is Outcome.PASSED, name, list(_details(case))


def _details(case: CaseResult) -> Iterator[str]:
    if case.outcome is Outcome.PASSED:
        return
    yield "---"
    yield f"message: {json.dumps(case.summary)}"
    yield f"severity: {'fail' if case.outcome is Outcome.FAILED else 'error'}"
    yield f"at: {json.dumps({'file': case.file, 'line': case.line})}"
    found = [{"what": one.what, "expected": one.expected, "got": one.got} for one in case.mismatches]
    yield f"mismatches: {json.dumps(found)}"
    yield f"request: {json.dumps(case.curl)}"
    yield "..."


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace("#", "\\#")
