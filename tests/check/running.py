"""The real command on a folder that somebody works in."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "reconciler.cli")
ROUTER = """
from fastapi import APIRouter

router = APIRouter()


@router.get("/version")
def version() -> dict[str, str]:
    return {{"version": "{version}"}}
"""
SUITE = """\
version: 1
cases:
  - name: says its version
    GET: /version
    expect: {{json: {{$.version: "{version}"}}}}
"""
MANIFEST = "version: 1\n"


def service(name: str, *, version: str = "1", expected: str | None = None, manifest: str = MANIFEST) -> dict[str, str]:
    """A service with a suite that expects some version, by default the one that is there."""
    folder = f"services/{name}"
    return {
        f"{folder}/router.py": ROUTER.format(version=version),
        f"{folder}/service.yaml": manifest,
        f"{folder}/tests.yaml": SUITE.format(version=expected or version),
    }


def reconciler(*words: str, cwd: Path, within: float = 120, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *words], cwd=cwd, env=environ(**variables), capture_output=True, text=True, timeout=within
    )


def environ(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RECONCILER_", "GITHUB_"))}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def told(done: "subprocess.CompletedProcess[str]") -> dict[str, dict[str, Any]]:
    """The subjects of a report in JSON, each with the codes of its problems and warnings."""
    report = json.loads(done.stdout)
    subjects = {subject["name"]: {**subject, "codes": []} for subject in report["subjects"]}
    for problem in report["problems"]:
        owner = problem["service"] if problem["service"] in subjects else problem["file"]
        subjects[owner]["codes"].append(problem["code"])
    return subjects
