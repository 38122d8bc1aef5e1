"""What waits to be said: the newest of each, in order, however long the forge is away."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from reconciler.forge import outbox as outboxes
from reconciler.forge.http import NotNow, Refused
from reconciler.forge.outbox import Outbox
from reconciler.model.statement import Deployed, State, Statement, Word
from tests.waiting import until


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "FIRST_PAUSE", 0.01)


class Hearer:
    """Hears what is said, and answers with whatever trouble it was given first."""

    def __init__(self, *troubles: Exception) -> None:
        self.heard: list[Statement] = []
        self.troubles = list(troubles)
        self.is_down = False

    async def say(self, word: Word) -> None:
        if self.is_down:
            raise NotNow("down", 0.0)
        if self.troubles:
            raise self.troubles.pop(0)
        assert isinstance(word, Statement)
        self.heard.append(word)

    @property
    def descriptions(self) -> list[str]:
        return [word.description for word in self.heard]


def word(description: str, context: str = "reconciler/tasks", state: State = State.PENDING) -> Statement:
    return Statement("a" * 40, context, state, description)


def play(hearer: Hearer, scenario: Callable[[Outbox], Awaitable[None]]) -> None:
    async def run() -> None:
        outbox = Outbox(hearer)
        running = asyncio.create_task(outbox.run())
        try:
            await scenario(outbox)
        finally:
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(run())


def test_a_newer_word_takes_the_place_of_one_that_was_not_said_yet() -> None:
    hearer = Hearer()

    async def scenario(outbox: Outbox) -> None:
        outbox.put([word("pending"), word("other", "reconciler/notes"), word("done", state=State.SUCCESS)])
        await outbox.said()

    play(hearer, scenario)
    assert hearer.descriptions == ["done", "other"]


def test_a_forge_that_was_away_hears_how_things_stand() -> None:
    hearer = Hearer()
    hearer.is_down = True

    async def scenario(outbox: Outbox) -> None:
        outbox.put([word("first")])
        await until(lambda: outbox.standing.trouble == "down", what="the trouble")
        outbox.put([word("second")])
        hearer.is_down = False
        await outbox.said()
        assert outbox.standing.trouble is None

    play(hearer, scenario)
    assert hearer.descriptions == ["second"]


def test_what_is_refused_is_let_go_of_and_said_so(caplog: pytest.LogCaptureFixture) -> None:
    hearer = Hearer(Refused(422, "no commit found"))

    async def scenario(outbox: Outbox) -> None:
        outbox.put([word("refused"), word("taken", "reconciler/notes")])
        await outbox.said()

    play(hearer, scenario)
    assert hearer.descriptions == ["taken"]
    assert "422 no commit found" in caplog.text


def test_whoever_says_come_back_at_once_again_and_again_is_asked_ever_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    def jittered(pause: float) -> float:
        pauses.append(pause)
        return 0.0

    monkeypatch.setattr(outboxes, "_jittered", jittered)
    hearer = Hearer(*(NotNow("its clock is behind ours", 0.0) for _ in range(4)))

    async def scenario(outbox: Outbox) -> None:
        outbox.put([word("kept")])
        await outbox.said()

    play(hearer, scenario)
    assert (hearer.descriptions, pauses) == (["kept"], [0.01, 0.02, 0.04, 0.08])


def test_a_word_that_the_forge_cannot_bear_holds_up_no_other() -> None:
    class Picky(Hearer):
        async def say(self, word: Word) -> None:
            if isinstance(word, Statement) and word.description == "a word too much":
                raise NotNow("500")
            await super().say(word)

    hearer = Picky()

    async def scenario(outbox: Outbox) -> None:
        outbox.put([word("a word too much", "reconciler/odd"), word("first"), word("second", "reconciler/notes")])
        await until(lambda: outbox.standing.waiting == 1, what="all others")

    play(hearer, scenario)
    assert hearer.descriptions == ["first", "second"]


def test_of_the_deployments_of_a_service_only_the_last_is_told() -> None:
    outbox = Outbox(Hearer())
    old, new = (Deployed(letter * 40, "tasks", "/api/tasks/") for letter in "ab")
    outbox.put([old, new, old, Deployed("b" * 40, "notes", None)])
    assert list(outbox._waiting.values()) == [old, Deployed("b" * 40, "notes", None)]


def test_an_expired_token_loses_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "LOCKED_OUT", 0.0)
    hearer = Hearer(Refused(401, "Bad credentials"), Refused(401, "Bad credentials"))

    async def scenario(outbox: Outbox) -> None:
        outbox.put([word("kept")])
        await outbox.said()

    play(hearer, scenario)
    assert hearer.descriptions == ["kept"]


def test_memory_is_bounded_while_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "MOST_WAITING", 10)
    outbox = Outbox(Hearer())
    outbox.put(word(f"{number}", f"reconciler/s{number}") for number in range(1_000))
    assert outbox.standing.waiting == 10


def test_a_bug_in_one_word_does_not_silence_the_others() -> None:
    hearer = Hearer(ZeroDivisionError())

    async def scenario(outbox: Outbox) -> None:
        outbox.put([word("bug"), word("fine", "reconciler/notes")])
        await outbox.said()

    play(hearer, scenario)
    assert hearer.descriptions == ["fine"]
