"""Neighbours of every test of the source: a repository to follow, and a place for the mirror."""

from pathlib import Path

import pytest

from tests.source.repositories import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "upstream.git")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "mirror.git"
