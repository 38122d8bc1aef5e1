"""What is asked of one service is done one thing after another, however much is called off meanwhile.

The journal is real; how long a release takes to be proved, and to be put away again, says the test.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from reconciler.control.feed import Feed
from reconciler.control.lane import Lane
from reconciler.control.order import DONE, Order, Outcome, Work, outcome_of
from reconciler.control.veil import Veil
from reconciler.model.names import ReleaseId, ServiceName, SyncId
from reconciler.store.journal import Journal
from tests.store.journals import in_journal
from tests.waiting import until

TASKS = ServiceName("tasks")


class Slow(Lane):
    """Each of its releases is proved, switched to and put away when the test says so."""

    def __init__(self, journal: Journal) -> None:
        veil = Veil()
        shop: Any = SimpleNamespace(journal=journal, feed=Feed(journal, veil), gate=SimpleNamespace(veil=veil))
        nobody: Any = None
        super().__init__(TASKS, "/api/tasks", shop, nobody, nobody, retry=lambda: None)
        self.at_work: list[ReleaseId] = []
        self.proved: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.switched: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.put_away: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def ask(self, digest: str) -> Work:
        wanted: Any = SimpleNamespace(ingredients=SimpleNamespace(digest=digest), revision=digest)
        unopened: Any = None
        return self.pursue(Order(wanted, unopened, SyncId("1")))

    def let_go(self) -> None:
        for digest in "abc":
            for event in (self.proved, self.switched, self.put_away):
                event[digest].set()

    async def _deploy(self, order: Order) -> Outcome:
        digest = order.wanted.ingredients.digest
        self.candidate = release = ReleaseId(f"tasks-{digest}")
        self.at_work.append(release)
        try:
            await self.proved[digest].wait()
            await self._whole(self._turn(digest))
        except asyncio.CancelledError:
            await self.put_away[digest].wait()
            raise
        finally:
            self.at_work.remove(release)
        return DONE

    async def _turn(self, digest: str) -> None:
        await self.switched[digest].wait()


def test_one_begins_when_all_that_was_called_off_before_it_has_been_put_away(tmp_path: Path) -> None:
    async def scenario(lane: Slow) -> None:
        lane.ask("a")
        await until(lambda: lane.at_work == ["tasks-a"], what="the first")
        second = lane.ask("b")
        await turns()
        third = lane.ask("c")
        await asyncio.wait([second])
        await turns()
        assert lane.at_work == ["tasks-a"], "which is still being put away"
        lane.put_away["a"].set()
        await until(lambda: lane.at_work == ["tasks-c"], what="the third")
        assert lane.needed == {"tasks-c"}, "its folder stays"
        await finish(lane, "c", third)

    with_lane(tmp_path, scenario)


def test_who_is_called_off_before_its_turn_leaves_alone_the_one_that_is_switching(tmp_path: Path) -> None:
    async def scenario(lane: Slow) -> None:
        first = lane.ask("a")
        lane.proved["a"].set()
        await until(lambda: lane.at_work == ["tasks-a"], what="the first")
        await turns()
        second, third = lane.ask("b"), lane.ask("c")
        await turns()
        assert outcome_of(second).state == "superseded", "although the first can no longer be taken back"
        assert (lane.at_work, lane.needed) == (["tasks-a"], {"tasks-a"})
        lane.switched["a"].set()
        await asyncio.wait([first])
        assert outcome_of(first) == DONE
        await until(lambda: lane.at_work == ["tasks-c"], what="the third")
        await finish(lane, "c", third)

    with_lane(tmp_path, scenario)


def test_nothing_of_a_service_has_settled_before_all_of_it_was_put_away(tmp_path: Path) -> None:
    async def scenario(lane: Slow) -> None:
        lane.ask("a")
        await until(lambda: lane.at_work == ["tasks-a"], what="the first")
        second = lane.ask("b")
        await turns()
        lane.hold("c", None, SyncId("2"))
        await asyncio.wait([second])
        settling = asyncio.create_task(lane.settle())
        await turns()
        assert not settling.done()
        lane.put_away["a"].set()
        await settling

    with_lane(tmp_path, scenario)


async def turns() -> None:
    """Let everybody go on who can: with nothing to wait for, each has said all by then."""
    for _ in range(20):
        await asyncio.sleep(0)


async def finish(lane: Slow, digest: str, work: Work) -> None:
    lane.proved[digest].set()
    lane.switched[digest].set()
    await asyncio.wait([work])
    assert outcome_of(work) == DONE
    assert lane.needed == set()


def with_lane(folder: Path, scenario: Callable[[Slow], Awaitable[None]]) -> None:
    async def play(journal: Journal) -> None:
        lane = Slow(journal)
        try:
            await scenario(lane)
        finally:
            lane.let_go()
            await lane.settle()

    in_journal(folder / "journal.db", play)
