"""What one revision may take away: an error is never read as a wish that everything goes."""

import pytest

from reconciler.control.losses import check_losses
from reconciler.control.wanted import Reading, Unfit
from reconciler.model.failure import Reason, Stalled
from reconciler.model.names import ObjectId, Revision, ServiceName
from reconciler.model.platform import Prune

REVISION = Revision("main", ObjectId("0" * 40))
BROKEN = Stalled(Reason.MANIFEST_INVALID, "it is broken")


def names(count: int) -> list[ServiceName]:
    return [ServiceName(f"s{number}") for number in range(count)]


def reading(wishes: list[ServiceName], prune: Prune) -> Reading:
    # What is broken is there.
    folders = {name: Unfit(name, f"services/{name}", f"/api/{name}", BROKEN, REVISION) for name in wishes}
    return Reading(REVISION, "/api", prune, folders, frozenset())


@pytest.mark.parametrize(
    ("running", "kept", "prune", "refused"),
    [
        pytest.param(0, 0, Prune(), None, id="nothing runs yet"),
        pytest.param(3, 0, Prune(), "holds no services although 3 run", id="all of a few"),
        pytest.param(30, 0, Prune(), "holds no services although 30 run", id="all of many"),
        pytest.param(30, 0, Prune(allow_most=True), "allow_empty: true", id="all, where most is meant"),
        pytest.param(30, 0, Prune(allow_empty=True), None, id="all, and it is meant"),
        pytest.param(30, 3, Prune(), "takes away 27 of 30 services; set `prune: {allow_most: true}`", id="nine of ten"),
        pytest.param(10, 1, Prune(), "takes away 9 of 10 services", id="nine of the fewest that count"),
        pytest.param(30, 3, Prune(allow_most=True), None, id="nine of ten, and it is meant"),
        pytest.param(30, 4, Prune(), None, id="fewer than that"),
        pytest.param(9, 1, Prune(), None, id="most of a few"),
        pytest.param(30, 60, Prune(), None, id="none"),
    ],
)
def test_what_is_taken_away_has_to_be_meant(running: int, kept: int, prune: Prune, refused: str | None) -> None:
    asked = reading(names(kept), prune)
    if refused is None:
        check_losses(asked, names(running))
        return
    with pytest.raises(Stalled) as told:
        check_losses(asked, names(running))
    assert refused in told.value.message
    assert told.value.reason is Reason.SOURCE_UNAVAILABLE


def test_services_that_have_other_names_now_are_gone_all_the_same() -> None:
    moved = reading([ServiceName(f"new-{number}") for number in range(20)], Prune())
    with pytest.raises(Stalled, match="takes away 20 of 20"):
        check_losses(moved, names(20))
