"""A report as JUnit XML: one test case for each subject, failed where it has problems.

The form is the common ground of Jenkins, GitLab and their relatives; warnings stand in `system-out`.
"""

from xml.etree import ElementTree as Xml

from reconciler.cli.render.report import Report, Subject
from reconciler.model.position import visible
from reconciler.model.problem_text import problem_text


def junit(report: Report, name: str = "reconciler check") -> str:
    failures = sum(not subject.is_good for subject in report.subjects)
    counts = {
        "tests": str(len(report.subjects)),
        "failures": str(failures),
        "errors": "0",
        "time": _seconds(report.seconds),
    }
    root = Xml.Element("testsuites", {"name": name, **counts})
    suite = Xml.SubElement(root, "testsuite", {"name": name, **counts})
    for subject in report.subjects:
        _add_case(suite, subject, name)
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _add_case(suite: Xml.Element, subject: Subject, name: str) -> None:
    attributes = {"classname": name.replace(" ", "."), "name": visible(subject.name), "time": _seconds(subject.seconds)}
    if subject.file:
        attributes["file"] = visible(subject.file)
    case = Xml.SubElement(suite, "testcase", attributes)
    if subject.problems:
        first = subject.problems[0]
        more = f" (and {len(subject.problems) - 1} more)" if len(subject.problems) > 1 else ""
        told = {"type": first.code, "message": visible(first.message) + more}
        failure = Xml.SubElement(case, "failure", told)
        failure.text = subject.told or "\n".join(problem_text(problem) for problem in subject.problems)
    if subject.warnings:
        output = Xml.SubElement(case, "system-out")
        output.text = "\n".join(problem_text(problem, "warning") for problem in subject.warnings)


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"
