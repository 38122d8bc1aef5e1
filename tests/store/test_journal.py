"""What is written down is told again: the same, after a restart, in order."""

import asyncio

import pytest

from reconciler.model.failure import Reason
from reconciler.model.names import ReleaseId, ServiceName, SyncId, WorkerId
from reconciler.store import events
from reconciler.store.journal import Journal, Transaction
from reconciler.store.rows import Phase, SourceRow
from tests.store.journals import (
    ON_THE_WAY,
    REPORTS,
    START,
    TASKS,
    Place,
    at,
    begin,
    in_journal,
    make_live,
)


def test_a_sync_is_there_from_the_moment_it_is_asked_for(place: Place) -> None:
    async def ask(journal: Journal) -> SyncId:
        return await journal.begin_sync("webhook", START)

    async def look(journal: Journal) -> None:
        row = await journal.sync(asked)
        assert row is not None
        assert (row.id, row.state, row.trigger, row.requested_at) == ("1", "waiting", "webhook", START)
        assert [row.id for row in await journal.unfinished_syncs()] == ["1"]

    asked = in_journal(place, ask)
    in_journal(place, look)


def test_a_finished_sync_tells_what_it_did(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        sync = await journal.begin_sync("poll", START)
        await journal.start_sync(sync, at(1))
        await journal.record_revision(sync, "main@sha1:abc")
        actions = [{"service": "tasks", "verb": "start"}]
        phases = [{"name": "fetch", "seconds": 0.02}]
        await journal.finish_sync(sync, "done", at(2), message="one started", actions=actions, kept=4, phases=phases)
        row = await journal.sync(sync)
        assert row is not None
        assert (row.state, row.revision, row.message, row.kept) == ("done", "main@sha1:abc", "one started", 4)
        assert (row.actions, row.phases) == (tuple(actions), tuple(phases))
        assert (row.started_at, row.finished_at) == (at(1), at(2))
        assert await journal.unfinished_syncs() == ()

    in_journal(place, scenario)


def test_pages_lead_from_the_newest_to_the_oldest(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        for _ in range(5):
            await journal.begin_sync("poll", START)
            await begin(journal)
        first = await journal.syncs(limit=2)
        second = await journal.syncs(limit=2, after=first.next)
        third = await journal.syncs(limit=2, after=second.next)
        assert [[row.id for row in page.items] for page in (first, second, third)] == [["5", "4"], ["3", "2"], ["1"]]
        assert (first.total, third.next) == (5, None)
        newest = await journal.releases(TASKS, limit=3)
        rest = await journal.releases(TASKS, limit=3, after=newest.next)
        assert [row.number for row in (*newest.items, *rest.items)] == [5, 4, 3, 2, 1]
        everywhere = await journal.releases(limit=4)
        others = await journal.releases(limit=4, after=everywhere.next)
        assert [row.number for row in (*everywhere.items, *others.items)] == [5, 4, 3, 2, 1]

    in_journal(place, scenario)


def test_a_sync_nobody_asked_for_is_none_and_cannot_be_changed(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        assert await journal.sync(SyncId("7")) is None
        assert await journal.sync(SyncId("seven")) is None
        with pytest.raises(LookupError):
            await journal.record_revision(SyncId("7"), "main@sha1:abc")

    in_journal(place, scenario)


def test_only_what_is_named_changes_about_a_service(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        condition = {"type": "Ready", "status": "True", "reason": "Live"}
        await journal.note_service(TASKS, suspended="by a person", conditions=[condition])
        await journal.note_service(TASKS, attempted="main@sha1:2")
        await journal.note_service(TASKS)
        row = await journal.service(TASKS)
        assert row is not None
        assert (row.suspended, row.attempted, row.conditions) == ("by a person", "main@sha1:2", (condition,))
        await journal.note_service(TASKS, suspended=None)
        await journal.note_service(REPORTS)
        assert [(row.name, row.suspended) for row in await journal.services()] == [("reports", None), ("tasks", None)]

    in_journal(place, scenario)


def test_a_forgotten_service_keeps_its_history(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        live = await make_live(journal)
        failed = await begin(journal, letter="b")
        await journal.fail(failed, Reason.TESTS_FAILED, "a case failed", at(3))
        assert await journal.forget(TASKS, at(4)) == live
        assert await journal.service(TASKS) is None
        assert await journal.failed_digests() == ()
        assert [row.phase for row in (await journal.releases(TASKS)).items] == [Phase.FAILED, Phase.DRAINING]
        assert await journal.forget(ServiceName("never-there"), at(5)) is None

    in_journal(place, scenario)


def test_workers_that_may_be_running_are_found_again(place: Place) -> None:
    async def write(journal: Journal) -> None:
        release = await begin(journal)
        for number in (1, 2, 3):
            worker = WorkerId(f"{release}.{number}")
            await journal.begin_worker(worker, release, f"/run/w-{number}.sock", f"/run/h-{number}.sock", at(number))
        await journal.worker_started(WorkerId("tasks-1.1"), 41, "1234")
        await journal.worker_gone(WorkerId("tasks-1.3"), 9, at(4))
        await journal.worker_gone(WorkerId("tasks-1.3"), 9, at(4))

    async def read(journal: Journal) -> None:
        first, second = await journal.workers()
        assert (first.id, first.pid, first.started, first.socket) == ("tasks-1.1", 41, "1234", "/run/w-1.sock")
        assert (second.id, second.pid) == ("tasks-1.2", None)
        assert await journal.workers_begun(ReleaseId("tasks-1")) == 3
        assert await journal.workers_begun(ReleaseId("reports-1")) == 0

    in_journal(place, write)
    in_journal(place, read)


def test_a_crash_loop_does_not_fill_the_journal(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        release = await begin(journal)

        def crash(transaction: Transaction) -> None:
            for number in range(1, 201):
                worker = WorkerId(f"{release}.{number}")
                transaction.begin_worker(worker, release, "w", "h", at(number))
                transaction.worker_gone(worker, 256, at(number))

        await journal.write(crash)
        assert await journal.workers_begun(release) == 200
        kept = await journal.write(lambda t: t._connection.exec_driver_sql("SELECT count(*) FROM workers").scalar_one())
        assert kept == 50

    in_journal(place, scenario)


def test_events_are_told_in_order_and_can_be_resumed(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        first = await journal.event("ReleaseLive", "tasks-1 is live", TASKS, ReleaseId("tasks-1"), at=START)
        await journal.event("SyncDone", "one started", at=at(1))
        last = await journal.event("WorkerDied", "killed by signal 9", TASKS, at=at(2))
        assert [event.kind for event in await journal.events(after=first)] == ["SyncDone", "WorkerDied"]
        assert [event.id for event in await journal.events(service=TASKS)] == [first, last]
        assert [event.id for event in await journal.last_events(limit=2)] == [last, last - 1]
        (newest,) = await journal.last_events(TASKS, limit=1)
        assert (newest.kind, newest.at, newest.release) == ("WorkerDied", at(2), None)

    in_journal(place, scenario)


def test_only_the_newest_events_are_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVENTS_KEPT", 2_000)

    async def scenario(journal: Journal) -> None:
        def many(transaction: Transaction) -> None:
            for number in range(10_000):
                transaction.event("Noted", f"number {number}", TASKS, at=START)

        await journal.write(many)
        told = await journal.events(limit=20_000)
        assert [told[0].id, told[-1].id, len(told)] == [8_001, 10_000, 2_000]
        assert await journal.event("Noted", "one more", at=START) == 10_001

    in_journal(place, scenario)


def test_the_source_is_remembered(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        assert await journal.source() == SourceRow(attempted=None, applied=None, at=None)
        await journal.set_source("main@sha1:1", None, START)
        await journal.set_source("main@sha1:2", "main@sha1:1", at(1))
        assert await journal.source() == SourceRow(attempted="main@sha1:2", applied="main@sha1:1", at=at(1))

    in_journal(place, scenario)


def test_entries_written_together_are_all_there_or_none(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        def half(transaction: Transaction) -> None:
            transaction.event("Noted", "before the mistake", at=START)
            raise ValueError("a mistake")

        journal.later(lambda t: t.event("Noted", "late, and first", at=START))
        broken = asyncio.ensure_future(journal.write(half))
        whole = asyncio.ensure_future(journal.event("Noted", "beside it", at=START))
        with pytest.raises(ValueError, match="a mistake"):
            await broken
        await whole
        assert [event.message for event in await journal.events()] == ["late, and first", "beside it"]

    in_journal(place, scenario)


def test_late_entries_keep_their_place_and_are_written_at_the_close(place: Place) -> None:
    async def write(journal: Journal) -> None:
        release = await begin(journal)
        for phase in ON_THE_WAY:
            journal.later(lambda t, phase=phase: t.advance(release, phase, at(1)))  # type: ignore[misc]
        await journal.switch(TASKS, release, at(2))
        journal.later(lambda t: t.event("ReleaseLive", "tasks-1 is live", TASKS, release, at=at(2)))

    async def read(journal: Journal) -> None:
        assert [event.kind for event in await journal.events()] == ["ReleaseLive"]

    in_journal(place, write)
    in_journal(place, read)


def test_a_late_entry_that_fails_is_logged_and_harms_no_other(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(journal: Journal) -> None:
        journal.later(lambda t: t.advance(ReleaseId("tasks-9"), Phase.LIVE, START))
        journal.later(lambda t: t.event("Noted", "after it", at=START))
        assert [event.message for event in await journal.events()] == ["after it"]

    in_journal(place, scenario)
    assert [record.message for record in caplog.records] == ["a late entry of the journal was lost"]


def test_a_caller_that_is_cancelled_does_not_take_its_entry_back(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        writing = asyncio.ensure_future(journal.event("Noted", "said", at=START))
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert [event.message for event in await journal.events()] == ["said"]

    in_journal(place, scenario)


def test_a_moment_without_a_time_zone_is_a_bug(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        with pytest.raises(Exception, match="time zone"):
            await journal.begin_sync("poll", START.replace(tzinfo=None))

    in_journal(place, scenario)
