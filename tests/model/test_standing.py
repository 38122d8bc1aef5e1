"""What people are told about a service, from a few facts."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.failure import Failure, Reason, Stalled, Wait
from reconciler.model.problem import Problem
from reconciler.model.standing import Standing, conditions
from reconciler.model.status import Condition
from reconciler.model.word import Word

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def told(standing: Standing, before: tuple[Condition, ...] = ()) -> dict[str, Condition]:
    return {condition.type: condition for condition in conditions(standing, before, NOW)}


def test_what_serves_and_is_wanted_is_ready() -> None:
    assert told(Standing(serving="tasks-1 of main@1a2b3c4d"))["Ready"].status == "True"


def test_a_failed_release_says_where_and_that_the_old_one_serves() -> None:
    trouble = Stalled(
        Reason.IMPORT_FAILED, "no module named nope", problems=(Problem("x", code="x", file="router.py", line=3),)
    )
    found = told(Standing(serving="tasks-1 of main@1a2b3c4d", trouble=trouble))
    assert found["Ready"].status == "False"
    assert found["Stalled"].message == "no module named nope. tasks-1 of main@1a2b3c4d still serves."
    assert (found["Stalled"].file, found["Stalled"].line) == ("router.py", 3)


def test_trouble_that_may_pass_is_not_stalled() -> None:
    assert "Stalled" not in told(Standing(trouble=Wait(Reason.REQUIREMENTS_FAILED, "the index is away")))


def test_since_moves_only_when_the_reason_does() -> None:
    early = tuple(
        one.model_copy(update={"since": NOW - timedelta(hours=1)})
        for one in conditions(Standing(serving="tasks-1 of main@1a2b3c4d"), (), NOW)
    )
    assert told(Standing(serving="tasks-2 of main@ffffffff"), early)["Ready"].since == NOW - timedelta(hours=1)
    assert told(Standing(suspended=True), early)["Ready"].since == NOW


def test_a_persons_word_is_told_with_who_said_it() -> None:
    found = told(Standing(serving="tasks-1 of main@1a2b3c4d", word=Word("suspended by ada", "ada rolled back")))
    assert found["Suspended"].message == "Suspended by ada. Syncs pass this service by until it is resumed."
    assert found["RolledBack"].message.startswith("Ada rolled back. It stays so")
    assert {found[kind].reason for kind in ("Suspended", "RolledBack")} == {"Requested"}
    assert found["Ready"].status == "True"


failures: st.SearchStrategy[Failure | None] = st.sampled_from(
    [None, Stalled(Reason.TESTS_FAILED, "red"), Wait(Reason.REQUIREMENTS_FAILED, "later")]
)
texts = st.sampled_from([None, "something"])


@given(st.builds(Standing, texts, texts, failures, st.booleans(), texts))
def test_never_ready_and_stalled(standing: Standing) -> None:
    found = told(standing)
    assert not (found["Ready"].status == "True" and "Stalled" in found)
    assert len(found) == len(conditions(standing, (), NOW))
