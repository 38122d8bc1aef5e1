"""What `reconciler check` costs beside reading the same files with PyYAML: processor time of whole processes.

The two hundred services are valid and suspended, so that there is nothing to start: the figure is the command's own
work (its start, git, every manifest read and validated, the report). What starting them costs besides is told below
it, once their environment is there.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figure import Figure, at_most, ratio, told

ROOT = Path(__file__).parents[1]
SERVICES = 200
ROUNDS = 5
CHECK = (sys.executable, "-m", "reconciler.cli", "check", "--no-tests")
BARE = """import pathlib, yaml
for file in pathlib.Path().glob("services/*/service.yaml"):
    yaml.safe_load(file.read_bytes())
"""
ROUTER = """from fastapi import APIRouter

router = APIRouter()


@router.get("/")
def greet() -> dict[str, str]:
    return {"message": "hello"}
"""
MANIFEST = """version: 1
description: Tasks, as a team would write it
entry: router:router
env: {PAGE_SIZE: "50", REGION: eu}
drain: 30s
timeout: {start: 30s, request: 60s}
limits: {memory: 512MiB, files: 1024, body: 10MiB}
"""


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(root / "repository")
        check = (*CHECK, "--data", str(root / "data"))
        ours, theirs = [], []
        _processor_seconds(check, root / "repository")
        for _ in range(ROUNDS):
            theirs.append(_processor_seconds((sys.executable, "-c", BARE), root / "repository"))
            ours.append(_processor_seconds(check, root / "repository"))
        (root / "repository" / "services.yaml").unlink()
        _processor_seconds((*check, "services/service-0"), root / "repository")
        began = time.monotonic()
        _processor_seconds(check, root / "repository")
        started = time.monotonic() - began
    return [
        at_most("check of 200 valid services ÷ yaml.safe_load of them", ratio(ours, theirs), 10),
        told("check of 200 valid services, nothing to start", min(ours), "s CPU"),
        told("check of 200 valid services, each of them started", started, "s"),
    ]


def _write(repository: Path) -> None:
    for number in range(SERVICES):
        folder = repository / "services" / f"service-{number}"
        folder.mkdir(parents=True)
        (folder / "router.py").write_text(ROUTER)
        (folder / "service.yaml").write_text(MANIFEST)
    (repository / "services.yaml").write_text("version: 1\ndefaults: {suspend: true}\n")
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    for words in (("init", "--quiet"), ("add", "--all"), (*author, "commit", "--quiet", "--message", "begin")):
        subprocess.run(["git", *words], cwd=repository, check=True, timeout=60)


def _processor_seconds(command: tuple[str, ...], folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ |= {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(folder.parent / "compiled")}
    subprocess.run(command, cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
