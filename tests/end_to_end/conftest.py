"""Platforms, for one test or for a file of them."""

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
