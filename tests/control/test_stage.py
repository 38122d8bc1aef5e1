"""Who has the traffic of a service: one release at every moment, and the one that was written down."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.control.scene import PREFIX, Scene, on_stage


def once_written(scene: Scene, then: Callable[[], object]) -> None:
    """Something happens in the very turn of the loop in which the journal has answered."""
    write = scene.journal.write

    async def write_and(*args: Any, **options: Any) -> Any:
        answer = await write(*args, **options)
        then()
        return answer

    scene.journal.write = write_and  # type: ignore[method-assign]


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
