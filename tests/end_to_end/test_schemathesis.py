"""Schemathesis against the control API of a running platform: what its document promises, held to its word.

The requests are the same at every run. What is left out stands in docs/reference.md, and nothing else is.
"""

import re
import subprocess
import sys
from pathlib import Path

import httpx

from tests.documents import ROOT
from tests.end_to_end.platform import Platform, environ
from tests.end_to_end.samples import PLATFORM, service

CRON = 'cron:\n  - {name: nightly, schedule: "0 2 * * *", request: POST /echo}\n'
BROKEN = {"services/broken/service.yaml": "version: 1\n", "services/broken/router.py": "import nothing_of_this_name\n"}
EXAMPLES = 3
"""Made up for each operation, beside those that follow from the limits in the document."""
# Hitting upon what is there takes luck; following a log never ends.
CONFIGURATION = """
[[operations]]
include-operation-id = ["read_logs", "read_platform_logs"]
parameters = {{"query.follow" = false}}

[[operations]]
include-operation-id = ["get_release", "compare_releases", "run_job", "get_run"]
[operations.parameters]
"path.name" = "tasks"
"path.release" = "tasks-1"
"path.before" = "tasks-1"
"path.after" = "tasks-2"
"path.job" = "nightly"
"path.run" = "{run}"

[[operations]]
include-operation-id = ["get_sync"]
parameters = {{"path.sync" = "1"}}

[[operations]]
include-operation-id = ["revoke_token"]
parameters = {{"path.token" = "{token}"}}
"""
SENTENCE = re.compile(
    r"finds nothing wrong with any operation but (`[^.]*), which it is not asked about, nor with the check `(\w+)`"
)


def test_schemathesis_finds_nothing(platform: Platform, tmp_path: Path) -> None:
    left_out, unchecked = as_documented()
    platform.commit({"services.yaml": PLATFORM, **service("tasks", manifest=CRON), **BROKEN})
    platform.start()
    platform.deploy(service("tasks", "2", manifest=CRON))
    run = asked(platform.control.post("/v1/services/tasks/cron/nightly/run"))["id"]
    token = asked(platform.control.post("/v1/tokens", json={"name": "bot", "scopes": ["read"]}))["id"]
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION.format(run=run, token=token))
    address = str(platform.control.base_url).rstrip("/")
    words = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml",
        "run", f"{address}/openapi.json",
        "--header", f"Authorization: Bearer {platform.token}", "--phases", "examples,coverage,fuzzing",
        "--checks", "all", "--exclude-checks", unchecked, "--max-examples", str(EXAMPLES), "--continue-on-failure",
        "--generation-deterministic", "--suppress-health-check", "all",
        "--request-timeout", "30", "--no-color", "--warnings", "off",
        *(word for operation in left_out for word in ("--exclude-operation-id", operation)),
    ]  # fmt: skip
    done = subprocess.run(words, cwd=tmp_path, env=environ(), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert f"{len(operations(platform)) - len(left_out)} selected" in done.stdout
    assert "a bug" not in platform.said()
    assert platform.version("tasks") in ("1", "2"), "it was suspended, restarted and rolled back, and serves"


def asked(answer: httpx.Response) -> dict[str, str]:
    told: dict[str, str] = answer.raise_for_status().json()
    return told


def operations(platform: Platform) -> set[str]:
    document = platform.control.get("/openapi.json").json()
    return {operation["operationId"] for item in document["paths"].values() for operation in item.values()}


def as_documented() -> tuple[list[str], str]:
    """Which operations the reference says are left out, and which check."""
    text = " ".join((ROOT / "docs" / "reference.md").read_text().split())
    found = SENTENCE.search(text)
    assert found, "the sentence about Schemathesis"
    return re.findall(r"`(\w+)`", found[1]), found[2]
