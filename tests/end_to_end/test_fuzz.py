"""Fuzzing decides when it is asked to, and otherwise only tells."""

from tests.end_to_end.platform import Platform, eventually
from tests.end_to_end.samples import router

COUNTS = """
from fastapi import APIRouter
from pydantic import BaseModel

router = APIRouter()
LARGEST = {largest}


class Count(BaseModel):
    number: int


@router.post("/counts")
async def create(count: Count) -> Count:
    if count.number > LARGEST:
        raise RuntimeError("planted")
    return count


@router.get("/version")
async def version() -> dict[str, str]:
    return {{"version": "{version}"}}
"""


def counts(version: str, largest: str, fuzz: str) -> dict[str, str]:
    manifest = f"version: 1\nwatch_window: 30s\nfuzz: {fuzz}\n"
    source = COUNTS.format(version=version, largest=largest)
    return {**router("counts", source), "services/counts/service.yaml": manifest}


def test_fuzzing_gates_only_when_asked(shared: Platform) -> None:
    shared.deploy(counts("1", "float('inf')", "gate"))
    assert shared.version("counts") == "1"
    shared.deploy(counts("2", "100", "gate"))
    assert shared.version("counts") == "1"
    assert shared.condition("counts", "Stalled")["reason"] == "TestsFailed"
    assert "POST /counts" in shared.service("counts")["problems"][0]["message"]

    shared.deploy(counts("3", "100", "true"))
    assert shared.version("counts") == "3"
    eventually(lambda: "fuzz found" in shared.service("counts")["suite"]["summary"], within=90, what="a report")
    suite = shared.control.get("/v1/services/counts/suite").json()
    assert suite["verdict"] == "passed"
    [found] = [one for one in suite["suites"] if one["name"] == "fuzz"]
    assert (found["verdict"], found["only_reports"]) == ("failed", True)
    assert any("curl -i -X POST" in (case["curl"] or "") for case in found["cases"])
    assert shared.version("counts") == "3"
