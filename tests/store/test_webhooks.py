"""Webhooks in the journal: known again, bounded, and owed until their sync has ended."""

from datetime import timedelta
from pathlib import Path

from reconciler.store import webhooks
from reconciler.store.journal import Journal
from reconciler.store.rows import WebhookRow
from tests.store.journals import START, at, in_journal


async def receive(journal: Journal, identity: str, seconds: float = 0, state: str = "accepted") -> WebhookRow:
    row, _ = await journal.receive(identity, "github", "guid", "push", state, "a push to main", at(seconds))
    return row


def test_one_that_comes_again_is_known(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        first, is_new = await journal.receive("a", "github", "guid", "push", "accepted", "a push to main", at(0))
        again, is_new_again = await journal.receive("a", "github", "other", "push", "ignored", "", at(5))
        assert (is_new, is_new_again) == (True, False)
        assert (again.id, again.delivery, again.state) == (first.id, "guid", "accepted")
        assert (again.repeats, again.repeated_at, again.received_at) == (1, at(5), START)
        assert await journal.webhook(str(first.id)) == again
        assert await journal.webhook("x") is None

    in_journal(tmp_path / "journal.db", scenario)


def test_what_is_owed_is_what_asked_and_saw_no_end(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        begun, done, waiting = [await journal.begin_sync("webhook", START) for _ in range(3)]
        await journal.start_sync(begun, START)
        await journal.finish_sync(done, "failed", START)
        rows = [await receive(journal, letter) for letter in "abcd"]
        ignored = await receive(journal, "e", state="ignored")
        for row, sync in zip(rows, (begun, done, waiting), strict=False):
            await journal.cause([row.id], sync)
        assert await journal.owing() == (rows[0].id, rows[2].id, rows[3].id)
        assert ignored.sync is None
        told = await journal.webhook(str(rows[1].id))
        assert told is not None and told.sync == done

    in_journal(tmp_path / "journal.db", scenario)


def test_old_ones_make_room(tmp_path: Path) -> None:
    week = timedelta(days=7).total_seconds()

    async def scenario(journal: Journal) -> None:
        for number in range(99):
            await receive(journal, f"old-{number}")
        await receive(journal, "new", week + 60)
        page = await journal.webhooks(10)
        assert (page.total, page.items[0].identity) == (1, "new")

    in_journal(tmp_path / "journal.db", scenario)


def test_there_is_a_bound_also_within_a_day(tmp_path: Path, monkeypatch: object) -> None:
    assert webhooks.WEBHOOKS_KEPT == 10_000

    async def scenario(journal: Journal) -> None:
        await journal.write(
            lambda entries: [
                entries.receive(str(number), "github", "", "push", "ignored", "", START) for number in range(10_300)
            ]
        )
        page = await journal.webhooks(500)
        assert page.total == 10_000
        assert page.next == str(page.items[-1].id)
        following = await journal.webhooks(1, page.next)
        assert following.items[0].id == page.items[-1].id - 1

    in_journal(tmp_path / "journal.db", scenario)
