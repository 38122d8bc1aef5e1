"""One data folder for all: what the first check installs, the others find."""

from pathlib import Path

import pytest

from tests.check.running import service
from tests.end_to_end.platform import take_over
from tests.end_to_end.repository import Repository


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Path:
    made = tmp_path_factory.mktemp("check") / "data"
    take_over(template, made / "check")
    return made


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """With one good service, committed."""
    made = Repository(tmp_path / "repository")
    made.commit({"services.yaml": "version: 1\n", **service("good")})
    return made
