"""What changed while no control looked: the next one finds it out by itself, and leaves nothing over."""

from tests.end_to_end.platform import Platform, eventually
from tests.end_to_end.samples import service


def control_dies_before(shared: Platform, files: dict[str, str | None]) -> None:
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
