"""What changed while no control looked: the next one finds it out by itself, and leaves nothing over."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.end_to_end.platform import Platform, command, eventually
from tests.end_to_end.repository import Files
from tests.end_to_end.samples import service
from tests.waiting import until_sync


def control_dies_before(shared: Platform, files: Files) -> None:
    """Control is killed with a commit that nobody has looked at yet, and the next one has looked."""
    shared.commit(files)
    shared.kill("control")
    eventually(lambda: shared.control.get("/readyz").status_code == 200, what="the first sync of the next control")


def test_a_service_that_git_dropped_while_control_was_down_is_unmounted(shared: Platform) -> None:
    shared.deploy(service("gone"))
    assert shared.version("gone") == "1"
    control_dies_before(shared, {"services/gone": None})
    assert shared.version("gone") == 404
    assert shared.control.get("/v1/services/gone").status_code == 404
    assert shared.version("steady") == "1"


def test_a_restart_that_control_did_not_live_to_finish_leaves_no_worker_too_many(
    shared: Platform, tmp_path: Path
) -> None:
    brake = tmp_path / "brake"
    waits = f"\n\nimport pathlib\nimport time\n\nwhile pathlib.Path({str(brake)!r}).exists():\n    time.sleep(0.01)\n"
    shared.deploy(service("fresh", also=waits))
    worker = shared.worker("fresh")
    others = shared.forked()
    brake.touch()
    with ThreadPoolExecutor(1) as person:
        person.submit(command, "restart", "fresh", data=shared.data)
        started = until_sync(lambda: shared.forked() - others, what="the worker that is to take over")
        control_dies_before(shared, {})
    assert shared.worker("fresh") == worker, "and no other beside it"
    brake.unlink()
    until_sync(lambda: not started & shared.forked(), what="the end of the other one")
    assert shared.version("fresh") == "1"


def test_a_revision_is_applied_when_everything_follows_it_and_stays_so_for_the_next_control(shared: Platform) -> None:
    shared.deploy(service("worse"))
    applied = shared.status()["revision_applied"]
    shared.deploy({"services/worse/router.py": "import nothing\n"})
    assert shared.status()["revision_applied"] == applied
    assert shared.deploy(service("aside"))["state"] == "done", "which has nothing to do with the one that failed"
    told = shared.status()
    assert (told["revision_applied"], told["revision_applied"] == told["revision_attempted"]) == (applied, False)
    again = command("sync", "--wait", data=shared.data)
    assert (again.returncode, "not applied everywhere" in again.stdout) == (1, True), again
    control_dies_before(shared, service("aside", "2"))
    assert shared.status()["revision_applied"] == applied

    shared.deploy(service("worse", "3"))
    told = shared.status()
    assert told["revision_applied"] == told["revision_attempted"] != applied
    again = command("sync", "--wait", data=shared.data)
    assert (again.returncode, "not applied" in again.stdout) == (0, False), again
