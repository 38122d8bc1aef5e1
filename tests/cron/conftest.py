"""What the tests of cron share."""

from pathlib import Path

import pytest

from tests.cron.simulation import Clock, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path / "journal.db", Clock(monkeypatch))
