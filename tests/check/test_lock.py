"""`reconciler lock`: exact packages, written into the service's folder, and held to."""

from pathlib import Path

from tests.check.running import reconciler, service
from tests.check.test_check import put
from tests.end_to_end.repository import Repository


def test_a_lock_is_written_and_obeyed(repository: Repository, data: Path) -> None:
    requiring = "version: 1\nrequirements: ['markdown>=3,<3.8']\n"
    put(repository, service("exact", manifest=requiring))
    file = repository.path / "services" / "exact" / "service.lock"

    done = reconciler("lock", "--data", str(data), cwd=repository.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("services/exact/service.lock: ") and done.stdout.count("\n") == 1
    assert "markdown==3.7 \\\n    --hash=sha256:" in file.read_text()

    put(repository, {"services/exact/service.yaml": requiring.replace("3.8", "3.7")})
    older = reconciler("lock", "services/exact", "--data", str(data), cwd=repository.path)
    assert "  markdown 3.7 → 3.6\n" in older.stdout
    assert reconciler("check", "services/exact", "--data", str(data), cwd=repository.path).returncode == 0

    put(repository, {"services/exact/service.lock": file.read_text().replace("--hash=sha256:", "--hash=sha256:0", 1)})
    damaged = reconciler("check", "services/exact", "--data", str(data), cwd=repository.path)
    assert damaged.returncode == 1
    assert "--> services/exact/service.lock:" in damaged.stdout


def test_what_cannot_be_resolved_is_told_with_its_place(repository: Repository, data: Path) -> None:
    put(repository, service("wrong", manifest="version: 1\nrequirements:\n  - markdown>3,<2\n"))
    done = reconciler("lock", "services/wrong", "--data", str(data), cwd=repository.path)
    assert done.returncode == 1
    assert "--> services/wrong/service.yaml:3:5" in done.stdout
    assert not (repository.path / "services/wrong/service.lock").exists()


def test_nothing_to_lock_is_2(repository: Repository, data: Path) -> None:
    done = reconciler("lock", "--data", str(data), cwd=repository.path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no service there requires anything" in done.stderr
