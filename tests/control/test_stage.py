"""Who has the traffic of a service: one release at every moment, and the one that was written down."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.control.actions import Actions
from reconciler.control.folders import Folders
from reconciler.model.failure import Reason, Stalled
from reconciler.model.names import Digest
from reconciler.model.word import Word
from reconciler.store.unusable import StoreUnusable
from reconciler.worker.crew import Crew
from tests.control.scene import PREFIX, TASKS, Picture, Scene, on_stage


def once_written(scene: Scene, then: Callable[[], object]) -> None:
    """Something happens in the very turn of the loop in which the journal has answered."""
    write = scene.journal.write

    async def write_and(*args: Any, **options: Any) -> Any:
        answer = await write(*args, **options)
        then()
        return answer

    scene.journal.write = write_and  # type: ignore[method-assign]


def disk_is_full(scene: Scene, full: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise StoreUnusable("The disk is full.", "Make room.", may_pass=True)

    full.setattr(scene.journal, "write", refuse)


def test_a_worker_that_dies_in_the_turn_of_a_switch_does_not_bring_its_release_back(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        old, new = await scene.serving(), await scene.proved("b")
        once_written(scene, scene.crews[old.release].dies)
        await scene.stage.switch(new, 0.0)
        await scene.told()
        assert scene.gateway.at(PREFIX) == new.release

    on_stage(tmp_path, scenario)


def test_a_worker_that_dies_in_the_turn_of_a_removal_does_not_mount_its_service_again(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        live = await scene.serving()
        once_written(scene, scene.crews[live.release].dies)
        await scene.stage.leave()
        await scene.told()
        assert scene.gateway.at(PREFIX) is None

    on_stage(tmp_path, scenario)


def test_a_removal_that_cannot_be_written_down_leaves_the_service_its_jobs(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        live = await scene.serving()
        with pytest.MonkeyPatch.context() as full:
            disk_is_full(scene, full)
            with pytest.raises(StoreUnusable):
                await scene.stage.leave()
        assert (scene.stage.live, scene.account.gone, scene.without_jobs) == (live, False, [])
        await scene.stage.leave()
        assert (scene.stage.live, scene.account.gone, scene.without_jobs) == (None, True, [TASKS])

    on_stage(tmp_path, scenario)


def test_what_keeps_dying_is_not_said_to_serve_until_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(scene: Scene) -> None:
        crew = scene.crews[(await scene.serving()).release]
        crew.keeps_dying()
        await scene.told()
        assert scene.gateway.at(PREFIX) == "crash_loop"
        (ready,) = (each for each in scene.account.conditions if each.type == "Ready")
        assert ready.message.endswith("is started again, later and later; until it runs, requests get 503.")
        crew.is_back()
        (ready,) = (each for each in scene.account.conditions if each.type == "Ready")
        assert (ready.reason, ready.message[-13:]) == ("CrashLoop", "still serves.")

    on_stage(tmp_path, scenario)
    assert sum("times within 60 s" in line.message for line in caplog.records) == 1


def test_a_service_that_never_served_is_refused_where_it_is_mounted_now_and_nowhere_else(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.stage.refuse(PREFIX, "failed", "tasks could not be started")
        await scene.stage.refuse("/v2/tasks", "starting", "tasks is starting")
        await scene.told()
        assert (scene.gateway.at("/v2/tasks"), scene.gateway.at(PREFIX)) == ("starting", None)
        assert scene.stage.prefix == "/v2/tasks"

    on_stage(tmp_path, scenario)


def test_what_a_next_control_needs_is_written_down_with_the_switch(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        new = await scene.proved("b")
        row = await scene.journal.release(new.release)
        assert row is not None and row.environment is None, "the disk was full when it was installed"
        await scene.stage.switch(new, 0.0)
        row = await scene.journal.release(new.release)
        assert row is not None and row.environment == new.environment

    on_stage(tmp_path, scenario)


def test_of_what_failed_as_much_is_remembered_as_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.control.account.FAILED_KEPT", 3)

    async def scenario(scene: Scene) -> None:
        for digest in "abcdeb":
            scene.account.condemn(Digest(digest), Stalled(Reason.TESTS_FAILED, "a case failed"))
        assert [*scene.account.failed] == ["d", "e", "b"]

    on_stage(tmp_path, scenario)


def test_a_way_back_that_cannot_be_written_down_leaves_the_parked_release_parked(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        old, new = await scene.serving(), await scene.proved("b")
        await scene.stage.switch(new, 60.0)
        with pytest.MonkeyPatch.context() as full:
            disk_is_full(scene, full)
            with pytest.raises(StoreUnusable):
                await scene.stage.go_back(new, old, Word())
        assert (scene.asked(old), scene.stage.parked) == (["park"], old)
        assert await scene.stage.go_back(new, old, Word()), "now that there is room"
        await scene.told()
        assert (scene.asked(old), scene.asked(new)) == (["park", "resume"], ["retire"])
        assert scene.gateway.at(PREFIX) == old.release

    on_stage(tmp_path, scenario)


def test_workers_started_for_a_rollback_that_cannot_be_written_down_are_discarded(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        old, new = await scene.serving(), await scene.proved("b")
        await scene.stage.switch(new, 0.0)
        started, actions = acting_on(scene, tmp_path)
        with pytest.MonkeyPatch.context() as full:
            started.then = lambda: disk_is_full(scene, full)
            with pytest.raises(StoreUnusable):
                await actions.rollback(TASKS, None, "Ada")
        assert [crew.asked for crew in started.crews] == [["discard"]]
        started.then = lambda: None
        taken = await actions.rollback(TASKS, None, "Ada")
        assert taken.release == old.release
        assert [crew.asked for crew in started.crews] == [["discard"], []]

    on_stage(tmp_path, scenario)


class Engine:
    """Starts crews at once; `then` is what the test wants to happen before anybody hears of it."""

    def __init__(self) -> None:
        self.crews: list[Picture] = []
        self.then: Callable[[], object] = lambda: None

    async def start(self, spec: Any, **_: Any) -> Crew:
        self.crews.append(crew := Picture(spec.release, spec.prefix))
        self.then()
        return crew


def acting_on(scene: Scene, folder: Path) -> tuple[Engine, Actions]:
    engine = Engine()
    lane = SimpleNamespace(name=TASKS, stage=scene.stage, account=scene.account, acting=asyncio.Lock())
    loop: Any = SimpleNamespace(lanes={TASKS: lane})
    shop: Any = SimpleNamespace(
        journal=scene.journal, engine=engine, folders=Folders(folder, folder), starts=asyncio.Semaphore(1)
    )
    nobody: Any = None
    return engine, Actions(loop, shop, nobody)
