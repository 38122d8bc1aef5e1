"""What changed while no control looked: the next one finds it out by itself, and leaves nothing over."""

from tests.end_to_end.platform import Platform, command, eventually
from tests.end_to_end.repository import Files
from tests.end_to_end.samples import service


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
