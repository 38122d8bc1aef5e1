"""Where a report cuts what a service said, no part of a secret is left standing at the border."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from reconciler.inside.redaction import Redactor
from reconciler.model.names import ReleaseId, ServiceName
from reconciler.model.suite.answer import KEPT
from reconciler.model.verdict import Verdict
from reconciler.suite.pytest_gate import ROOM, PytestRun, run_pytest
from reconciler.suite.target import Target
from tests.suite.declaring import played
from tests.suite.serving import serve
from tests.suite.tasks_service import PREFIX

PIECE = "s3cr3t-"
LONG = "".join(f"{PIECE}{number}." for number in range(5_000))
HUGE = "".join(f"{PIECE}{number:x}:" for number in range(KEPT // len(PIECE)))[:KEPT]
SECRETS = {"LONG": LONG, "HUGE": HUGE}
SUITE = """
    budget: {total: 120s, request: 60s}
    cases:
      - {name: a value, GET: /json, expect: {json: {$.key: other}}}
      - {name: several, GET: /json, expect: {json: {"$..key": {contains: other}}}}
      - {name: by schema, GET: /json, expect: {schema: schema.json}}
      - {name: a body, GET: /json, expect: {status: 201}}
      - {name: captured, GET: /json, expect: {status: 200}, capture: {key: $.nowhere}}
      - {name: more than is kept, GET: /more, expect: {status: 201}}
      - {name: much more, GET: /much, expect: {status: 201}}
      - {name: half a character, GET: /half, expect: {status: 201}}
"""
ANSWERS = {
    "json": json.dumps({"key": LONG, "in": [{"key": "x" * 15_990 + LONG}]}).encode(),
    "more": b"x" * 100 + HUGE.encode() + b"y",
    "much": (LONG.encode() + b" ") * (3 * KEPT // len(LONG)),
    "half": b"x" * (KEPT - 101) + "é".encode() + LONG.encode() + b"y" * 200,
}


async def telling_too_much(scope: Any, _receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        headers = [(b"content-type", b"application/json"), (b"x-key", LONG[:8_000].encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": ANSWERS[scope["path"].rpartition("/")[2]]})


def test_no_part_of_a_long_secret_is_in_a_report(tmp_path: Path) -> None:
    schema = json.dumps({"properties": {"key": {"type": "integer"}}})
    redactor = Redactor({**SECRETS, "HEADER": LONG[:8_000]}.items())
    with serve(telling_too_much, tmp_path / "s") as socket:
        target = Target(socket, PREFIX, ServiceName("tasks"), ReleaseId("tasks-1"), secrets=SECRETS)
        report = played(SUITE, target, with_files={"schema.json": schema}, redact=redactor.text)
    told = json.dumps(report.to_json())
    assert len(report.failing) == 8, told[:5_000]
    assert told.count("[redacted") > 5
    assert PIECE not in told, told[max(0, told.index(PIECE) - 300) :][:600]


@pytest.mark.parametrize("end", ["", "\n"])
def test_no_part_of_a_long_secret_is_in_what_pytest_said_last(tmp_path: Path, end: str) -> None:
    secret = "".join(f"{PIECE}{number}." for number in range(ROOM // 8))
    code = f"print(open('said').read(), end={end!r})\nraise RuntimeError('at import')\n"
    (tmp_path / "said").write_text(secret)
    (tmp_path / "test_it.py").write_text(code)
    run = PytestRun(Path(sys.executable), tmp_path, ["test_it.py"], "http://127.0.0.1:9", {}, 30, "services/tasks")
    redact = Redactor([("KEY", secret)]).text
    target = Target("", PREFIX, ServiceName("tasks"), ReleaseId("tasks-1"))
    report = asyncio.run(run_pytest(run, target, redact=redact))
    told = json.dumps(report.to_json())
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "at import" in told and PIECE not in told
