"""What control tells has no secret in it, wherever the text came from."""

import logging
from io import StringIO
from pathlib import Path

import pytest

from reconciler import log as terminal
from reconciler.control.feed import Feed
from reconciler.control.veil import Veil
from reconciler.model.failure import Reason, Stalled
from reconciler.model.notice import Kind
from reconciler.model.problem import Problem
from reconciler.store.journal import Journal
from tests.store.journals import in_journal

SECRET = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"


def veiling(**secrets: str) -> Veil:
    veil = Veil()
    veil.know(secrets or {"STRIPE_KEY": SECRET})
    return veil


def test_what_was_known_once_stays_known() -> None:
    veil = veiling(KEY="first-value")
    for number in range(40):
        veil.know({"KEY": f"value-{number:03}-of-a-key", "OTHER": "first-value"})
        assert veil.text(f"value-{number:03}-of-a-key") == "[redacted KEY]"
    told = veil.text(" ".join(["first-value", *(f"value-{number:03}-of-a-key" for number in range(40))]))
    assert told == " ".join(["[redacted KEY]"] * 41)
    assert len(veil._layers) <= 6


def test_json_keeps_its_shape() -> None:
    told = {"a": [SECRET, 1, None, True, (SECRET,)], SECRET: {"b": f"x{SECRET}"}}
    mark = "[redacted STRIPE_KEY]"
    assert veiling().plain(told) == {"a": [mark, 1, None, True, [mark]], mark: {"b": f"x{mark}"}}


def test_a_failure_is_the_same_one_without_the_secret() -> None:
    problem = Problem(SECRET, "code", "tasks", "services/tasks/router.py", 7, None, SECRET, SECRET, SECRET)
    failure = Stalled(Reason.TESTS_FAILED, f"got {SECRET}", problems=(problem,), detail=f"...{SECRET}")
    assert veiling().failure(failure) is failure
    assert SECRET not in f"{failure!r} {failure} {failure.message} {failure.detail} {failure.problems}"
    assert failure.problems[0].line == 7 and failure.message == "got [redacted STRIPE_KEY]"


def test_events_and_notices_are_told_without_the_secret(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        feed = Feed(journal, veiling())
        with feed.listen() as listener:
            feed.happened(Kind.RELEASE_FAILED, f"it said {SECRET}", data={"why": [SECRET]})
            feed.passes(Kind.PHASE_BEGAN, SECRET)
            heard = [await anext(listener) for _ in range(2)]
        kept = await journal.events()
        assert SECRET not in f"{heard} {kept}"
        assert kept[0].data == {"why": ["[redacted STRIPE_KEY]"]}

    in_journal(tmp_path / "journal.db", scenario)


@pytest.fixture
def said() -> StringIO:
    return StringIO()


def test_the_terminal_shows_none_in_messages_facts_and_tracebacks(said: StringIO) -> None:
    terminal.configure(said, veiling().text)
    log = logging.getLogger("reconciler.test")
    log.warning("it said %s", SECRET, extra={"service": "tasks", "reason": SECRET, "url": f"https://a:{SECRET}@b"})
    try:
        raise ValueError(f"with {SECRET}")
    except ValueError:
        log.exception("a bug")
    assert SECRET not in said.getvalue()
    assert said.getvalue().count("[redacted STRIPE_KEY]") == 4 and "ValueError: with [redacted" in said.getvalue()
