"""Suites out of text, as a service's folder would hold them."""

import asyncio
from collections.abc import Mapping, Sequence
from textwrap import dedent
from typing import Any

from reconciler.model.document import Invalid, load
from reconciler.model.names import ServiceName
from reconciler.model.problem import Problem
from reconciler.model.suite.case import Suite
from reconciler.model.verdict import CaseResult, Report
from reconciler.suite.files import Files
from reconciler.suite.load import Declared, declared
from reconciler.suite.play import play
from reconciler.suite.target import Target

FOLDER = "services/tasks"


def files_of(content: Mapping[str, str | bytes]) -> Files:
    """Paths without a slash at the beginning are below the service's folder; the others are in the repository."""
    named = {
        name.removeprefix("/") if name.startswith("/") else f"{FOLDER}/{name}": (
            text if isinstance(text, bytes) else dedent(text).encode()
        )
        for name, text in {"service.yaml": "version: 1\n", **content}.items()
    }
    return Files(FOLDER, frozenset(named), named.__getitem__)


def declare(content: Mapping[str, str | bytes], *, secrets: Sequence[str] = ()) -> Declared:
    files = files_of(content)
    manifest = load(files.read(f"{FOLDER}/service.yaml"), f"{FOLDER}/service.yaml")
    tests = manifest.data.get("tests")
    return declared(ServiceName("tasks"), tests, files, manifest, secrets=secrets)


def suite(text: str, **more: str | bytes) -> Suite:
    """The one suite of a service whose tests.yaml holds these cases; `version` is added."""
    (found,) = declare({"tests.yaml": "version: 1\n" + dedent(text), **more}).suites
    return found


def problems(text: str, **more: str | bytes) -> list[Problem]:
    try:
        suite(text, **more)
    except Invalid as invalid:
        return list(invalid.problems)
    return []


def played(text: str, target: Target, *, with_files: Mapping[str, str | bytes] | None = None, **options: Any) -> Report:
    return asyncio.run(play([suite(text, **(with_files or {}))], target, **options))


def case(report: Report, name: str) -> CaseResult:
    return next(result for result in report.cases if result.name == name)
