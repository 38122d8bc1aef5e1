"""One environment is built per session; every platform starts from a copy of it that costs a few links."""

import fcntl
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import PLATFORM, service


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the servers said belongs to a failure."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for name, value in item.funcargs.items():
            if isinstance(value, Platform):
                report.sections.append((f"server of {name}", value.said()))
    return report


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the plain environment is built already: once, however many processes run tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "template"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        # The others wait for the first, and find what it has made.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            build(folder)
    return folder / "data"


def build(folder: Path) -> None:
    with Platform(folder) as platform:
        platform.commit({"services.yaml": PLATFORM, **service("warm")})
        platform.start(ready_within=180)
        assert platform.version("warm") == "1", platform.said()
        platform.stop()
    (folder / "built").touch()


@pytest.fixture
def platform(tmp_path: Path, template: Path) -> Iterator[Platform]:
    """A platform that is not started yet."""
    with Platform(tmp_path, template) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Platform]:
    """One running platform for a whole file: its tests use services of their own names."""
    with Platform(tmp_path_factory.mktemp("shared"), template) as made:
        made.commit({"services.yaml": PLATFORM, **service("steady")})
        yield made.start()


@pytest.fixture
def brake(tmp_path: Path) -> Iterator[Path]:
    """A file that holds whatever waits for its end; released at the end of a test however that comes."""
    path = tmp_path / "brake"
    path.touch()
    yield path
    path.unlink(missing_ok=True)
