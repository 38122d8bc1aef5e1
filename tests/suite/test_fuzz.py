"""Requests made up from a service's own OpenAPI document, by the real Schemathesis against a real service."""

import asyncio
import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from reconciler.model.names import ReleaseId, ServiceName
from reconciler.model.verdict import Outcome, Report, SuiteResult, Verdict, problems
from reconciler.suite.fuzz import NOT_THERE, Bounds, fuzz
from reconciler.suite.target import Target
from tests.suite.serving import serve

PREFIX = "/api/counts"
FILE = "services/counts/service.yaml"
FEW = Bounds(seconds=120, examples=15)


class Count(BaseModel):
    number: int


def counts(largest: int | None = None, nap: float = 0.0) -> FastAPI:
    """It cannot count further than `largest`."""
    app = FastAPI(openapi_url=f"{PREFIX}/openapi.json")

    @app.post(f"{PREFIX}/counts")
    async def create(count: Count) -> Count:
        await asyncio.sleep(nap)
        if largest is not None and count.number > largest:
            raise RuntimeError("planted")
        return count

    @app.get(PREFIX + "/counts/{number}")
    async def read(number: int) -> Count:
        return Count(number=number)

    return app


@contextmanager
def served(app: FastAPI) -> Iterator[Target]:
    with TemporaryDirectory(prefix="rcl-") as folder, serve(app, Path(folder) / "h.sock") as socket:
        yield Target(socket, PREFIX, ServiceName("counts"), ReleaseId("counts-1"))


def fuzzed(app: FastAPI, bounds: Bounds = FEW) -> SuiteResult:
    with served(app) as target:
        return asyncio.run(fuzz(target, FILE, bounds))


def test_a_server_error_is_found_and_can_be_sent_again() -> None:
    result = fuzzed(counts(largest=100))
    assert result.verdict is Verdict.FAILED
    outcomes = {case.name: case.outcome for case in result.cases}
    assert outcomes == {
        "POST /api/counts/counts": Outcome.FAILED,
        "GET /api/counts/counts/{number}": Outcome.PASSED,
    }
    [failed] = [case for case in result.cases if case.outcome is Outcome.FAILED]
    assert "Server error" in (failed.reason or "")
    assert failed.curl is not None
    assert failed.curl.startswith("curl -i -X POST http://127.0.0.1:8000/api/counts/counts ")
    assert failed.response is not None
    assert failed.response.status == 500
    [problem] = problems(Report("counts", "counts-1", result.verdict, (result,)))
    assert (problem.file, problem.line) == (FILE, 1)


def test_what_keeps_its_promises_passes() -> None:
    result = fuzzed(counts())
    assert result.verdict is Verdict.PASSED, result
    assert result.requests > len(result.cases) == 2


def test_it_takes_no_longer_than_it_may() -> None:
    began = time.monotonic()
    result = fuzzed(counts(nap=4.5), Bounds(seconds=4))
    assert time.monotonic() - began < 40, "nine requests, and it would send many more"
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.reason == "stopped after 4 s"


def test_a_document_that_leads_outside_is_not_followed() -> None:
    app = counts()
    app.openapi()["paths"][f"{PREFIX}/far"] = {"get": {"responses": {"200": {"$ref": "http://169.254.169.254/x"}}}}
    result = fuzzed(app)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "it refers to `http://169.254.169.254/x`, outside of itself" in (result.reason or "")


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    result = asyncio.run(fuzz(Target("", PREFIX, ServiceName("counts"), ReleaseId("counts-1")), FILE))
    assert (result.verdict, result.reason) == (Verdict.INCONCLUSIVE, NOT_THERE)
    report = Report("counts", "counts-1", result.verdict, (result,))
    [problem] = problems(report)
    assert problem.message == "fuzz: fuzz needs reconciler[fuzz]: pip install 'reconciler[fuzz]'"


def test_what_only_reports_is_told_and_changes_no_verdict() -> None:
    found = SuiteResult("fuzz", FILE, Verdict.INCONCLUSIVE, NOT_THERE, only_reports=True)
    report = Report("counts", "counts-1", Verdict.PASSED, (found,))
    assert report.summary == f"no case was played; fuzz found: {NOT_THERE}"
    assert Report.from_json(report.to_json()) == report
