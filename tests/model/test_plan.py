"""The plan: sentence-like examples, and the two properties that make it level-based."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.digest import Ingredients
from reconciler.model.names import ServiceName
from reconciler.model.plan import Action, Desired, Running, Verb, decide, in_order, plan

TASKS = ServiceName("tasks")
OLD, NEW = Ingredients(code="old"), Ingredients(code="new")

EXAMPLES = [
    ("a new folder is started", Desired(OLD), Running(), Verb.START, "new"),
    ("an unchanged one is kept", Desired(OLD), Running(OLD), Verb.KEEP, "unchanged"),
    ("changed code is replaced", Desired(NEW), Running(OLD), Verb.REPLACE, "code changed"),
    (
        "every part that moved is named",
        Desired(Ingredients(code="new", environment="new")),
        Running(OLD),
        Verb.REPLACE,
        "code, environment changed",
    ),
    ("a folder that is gone is removed", None, Running(OLD), Verb.REMOVE, "git no longer holds it"),
    ("a suspended one is left alone", Desired(NEW, suspended=True), Running(OLD), Verb.HOLD, "suspended"),
    ("an invalid manifest holds what runs", Desired(invalid="bad"), Running(OLD), Verb.HOLD, "bad"),
    (
        "going back to what runs is keeping it",
        Desired(OLD),
        Running(OLD, frozenset({NEW.digest})),
        Verb.KEEP,
        "unchanged",
    ),
    (
        "a digest that a rollback left stays away",
        Desired(NEW),
        Running(OLD, held="rolled back", held_digest=NEW.digest),
        Verb.HOLD,
        "rolled back",
    ),
    (
        "a newer digest ends a rollback's hold",
        Desired(NEW),
        Running(OLD, held="rolled back", held_digest=Ingredients(code="older").digest),
        Verb.REPLACE,
        "code changed",
    ),
    ("a person's suspension is obeyed", Desired(NEW), Running(OLD, suspended="by ada"), Verb.HOLD, "by ada"),
    ("also when the folder is gone", None, Running(OLD, suspended="by ada"), Verb.HOLD, "by ada"),
]


@pytest.mark.parametrize(("wanted", "running", "verb", "why"), [e[1:] for e in EXAMPLES], ids=[e[0] for e in EXAMPLES])
def test_decides(wanted: Desired | None, running: Running, verb: Verb, why: str) -> None:
    action = decide(TASKS, wanted, running)
    assert (action.verb, action.why) == (verb, why)


@pytest.mark.parametrize(
    ("running", "meant"),
    [
        (Running(OLD, suspended="by ada"), True),
        (Running(OLD, held="by ada", held_digest=NEW.digest), True),
        (Running(OLD, frozenset({NEW.digest})), False),
    ],
)
def test_what_somebody_wished_is_no_trouble(running: Running, meant: bool) -> None:
    assert decide(TASKS, Desired(NEW), running).meant is meant


def test_a_failed_digest_is_not_tried_again() -> None:
    assert decide(TASKS, Desired(NEW), Running(OLD, frozenset({NEW.digest}))).verb is Verb.HOLD


names = st.sampled_from([ServiceName(name) for name in ("auth", "notes", "tasks", "zoo")])
ingredients = st.builds(Ingredients, code=st.sampled_from("abc"), environment=st.sampled_from("xy"))
desired = st.dictionaries(names, st.builds(Desired, ingredients))
running = st.dictionaries(names, st.builds(Running, ingredients))


def carry_out(
    actions: tuple[Action, ...], wanted: dict[ServiceName, Desired], there: dict[ServiceName, Running]
) -> dict[ServiceName, Running]:
    after = dict(there)
    for action in actions:
        if action.verb is Verb.REMOVE:
            del after[action.service]
        elif action.verb in (Verb.START, Verb.REPLACE):
            after[action.service] = Running(wanted[action.service].ingredients)
    return after


@given(desired, running)
def test_carrying_it_out_reaches_what_is_desired(
    wanted: dict[ServiceName, Desired], there: dict[ServiceName, Running]
) -> None:
    after = carry_out(plan(wanted, there), wanted, there)
    assert {name: one.ingredients for name, one in after.items()} == {n: d.ingredients for n, d in wanted.items()}


@given(desired, running)
def test_the_second_sync_keeps_everything(
    wanted: dict[ServiceName, Desired], there: dict[ServiceName, Running]
) -> None:
    after = carry_out(plan(wanted, there), wanted, there)
    assert {action.verb for action in plan(wanted, after)} <= {Verb.KEEP}


def names_of(actions: tuple[Action, ...]) -> list[str]:
    return [action.service for action in actions]


def starts(*names: str) -> list[Action]:
    return [Action(ServiceName(name), Verb.START, "new") for name in names]


def test_what_others_depend_on_comes_first() -> None:
    needs = {ServiceName("api"): ["auth"], ServiceName("auth"): ["store", "not-in-this-sync"]}
    assert names_of(in_order(starts("api", "auth", "store"), needs)) == ["store", "auth", "api"]


def test_a_circle_of_dependencies_waits_for_nobody_for_ever() -> None:
    needs = {ServiceName("a"): ["b"], ServiceName("b"): ["a"]}
    assert sorted(names_of(in_order(starts("a", "b"), needs))) == ["a", "b"]
