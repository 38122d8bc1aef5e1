"""What is removed behind a sync, and what is not: folders are real, and only the lane is a picture of one."""

import asyncio
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.control.folders import Folders
from reconciler.control.upkeep import Upkeep
from reconciler.model.names import ServiceName

TASKS = ServiceName("tasks")


class Environments:
    async def collect(self, keep: object) -> None:
        """Nothing is installed here."""

    async def prune(self) -> None:
        """Nor is anything kept."""


def tidied(data: Path, folders: list[str], needed: set[str]) -> set[str]:
    """Which folders of a service's releases are left."""
    home = data / "releases" / TASKS
    for folder in folders:
        (home / folder / "services").mkdir(parents=True)
    lane: Any = SimpleNamespace(name=TASKS, needed=needed, environments=set())
    store = SimpleNamespace(superseded=frozenset)
    shop: Any = SimpleNamespace(
        folders=Folders(data, data), environments=Environments(), preparing=Counter(), store=store
    )
    zygotes: Any = SimpleNamespace(stop_others=lambda in_use: None)
    asyncio.run(Upkeep(shop, zygotes, lambda: [lane]).tidy([TASKS]))
    return {folder.name for folder in home.iterdir()}


def test_only_what_nobody_needs_is_removed(tmp_path: Path) -> None:
    assert tidied(tmp_path, ["tasks-1", "tasks-2", "tasks-3"], {"tasks-2", "tasks-3"}) == {"tasks-2", "tasks-3"}


def test_a_release_that_is_just_being_written_is_left_alone(tmp_path: Path) -> None:
    assert tidied(tmp_path, ["tasks-1", ".tasks-2.partial"], {"tasks-2"}) == {".tasks-2.partial"}


def test_what_a_crash_left_half_written_is_removed(tmp_path: Path) -> None:
    assert tidied(tmp_path, ["tasks-2", ".tasks-1.partial"], {"tasks-2"}) == {"tasks-2"}


@pytest.mark.parametrize("minutes", [0, 1], ids=["when all strays have gone", "before that"])
def test_what_a_former_control_left_of_a_service_that_is_no_more_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    monkeypatch.setattr("reconciler.control.upkeep.STRAYS_GONE_AFTER", minutes * 60.0)
    left = tmp_path / "releases" / "gone" / "gone-1"
    left.mkdir(parents=True)
    assert tidied(tmp_path, ["tasks-1"], {"tasks-1"}) == {"tasks-1"}
    assert left.exists() == (minutes > 0)
