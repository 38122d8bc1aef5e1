"""A report as JUnit XML: one `testsuite` for each suite, one `testcase` for each case.

A failed case is a `failure`, one that could not be played is an `error`: build servers keep the two apart as well.
"""

from xml.etree import ElementTree as Xml

from reconciler.model.position import visible
from reconciler.model.verdict import CaseResult, Outcome, Report, SuiteResult, Verdict
from reconciler.suite.report.text import failure


def junit(report: Report) -> str:
    root = Xml.Element("testsuites", {"name": report.service, "time": _seconds(report.seconds)})
    for suite in report.suites:
        _add_suite(root, suite, report)
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode") + "\n"


def _add_suite(root: Xml.Element, suite: SuiteResult, report: Report) -> None:
    is_alone = suite.verdict is Verdict.INCONCLUSIVE and not suite.count(Outcome.INCONCLUSIVE)
    counts = {
        "tests": len(suite.cases) + is_alone,
        "failures": suite.count(Outcome.FAILED),
        "errors": suite.count(Outcome.INCONCLUSIVE) + is_alone,
        "skipped": suite.count(Outcome.SKIPPED),
    }
    attributes = {"name": f"{report.service}/{suite.name}", "time": _seconds(suite.seconds)}
    element = Xml.SubElement(root, "testsuite", attributes | {name: str(count) for name, count in counts.items()})
    if is_alone:
        case = Xml.SubElement(
            element, "testcase", {"classname": report.service, "name": suite.name, "file": suite.file}
        )
        Xml.SubElement(case, "error", {"message": visible(suite.reason or "inconclusive")})
    for result in suite.cases:
        _add_case(element, result, report)
    if suite.flaky and suite.first is not None:
        output = Xml.SubElement(element, "system-out")
        output.text = "flaky: " + "; ".join(
            visible(f"{case.name}: {case.summary}") for case in suite.first.cases if case.outcome is Outcome.FAILED
        )


def _add_case(suite: Xml.Element, result: CaseResult, report: Report) -> None:
    attributes = {
        "classname": f"{report.service}.{result.part}",
        "name": visible(result.name),
        "file": result.file,
        "line": str(result.line),
        "time": _seconds(result.seconds),
    }
    case = Xml.SubElement(suite, "testcase", attributes)
    if result.outcome is Outcome.SKIPPED:
        Xml.SubElement(case, "skipped", {"message": visible(result.reason or "")})
    elif result.outcome is not Outcome.PASSED:
        kind = "failure" if result.outcome is Outcome.FAILED else "error"
        told = Xml.SubElement(case, kind, {"message": visible(result.summary)})
        told.text = "\n".join(visible(line) for line in failure(result))


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"
