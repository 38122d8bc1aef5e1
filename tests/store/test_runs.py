"""What the journal keeps of jobs and runs: each scheduled time once, the intent first, history after the job."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from reconciler.model.run import Cause, RunId, RunState, run_id
from reconciler.store.journal import Journal
from reconciler.store.rows import JobRow, RunRow
from reconciler.store.runs import RUNS_KEPT, Settled
from tests.store.journals import REPORTS, START, TASKS, at, in_journal

MINUTE = timedelta(minutes=1)


def job(name: str = "tidy", **more: object) -> JobRow:
    given = {"times": "* * * * * UTC", "settled": START, "missed": 0}
    given |= {"forgotten": None, "gone_at": None}
    return JobRow(service=TASKS, name=name, **given | more)  # type: ignore[arg-type]


def run(minute: int = 1, name: str = "tidy", state: RunState = RunState.INTENDED) -> RunRow:
    due = START + minute * MINUTE
    return RunRow(
        id=run_id(TASKS, name, due),
        service=TASKS,
        job=name,
        cause=Cause.SCHEDULE,
        actor=None,
        scheduled_at=due,
        state=state,
        release=None,
        began_at=due,
    )


async def follow(journal: Journal, *jobs: JobRow, when: datetime = START) -> None:
    await journal.write(lambda entries: entries.follow_jobs(TASKS, jobs, when))


async def settle(journal: Journal, *runs: RunRow, missed: int = 0) -> frozenset[RunId]:
    return await journal.settle_jobs([Settled(TASKS, "tidy", runs[-1].scheduled_at, missed, runs)])


def test_a_time_is_written_down_once_however_often_it_is_decided(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        await follow(journal, job())
        assert await settle(journal, run(1), run(2)) == {run(1).id, run(2).id}
        assert await settle(journal, run(2), run(3), missed=4) == {run(3).id}
        (known,) = await journal.write(lambda entries: entries.jobs())
        assert (known.settled, known.missed) == (run(3).scheduled_at, 4)

    in_journal(tmp_path / "journal.db", scenario)


def test_a_run_that_was_under_way_is_found_by_the_next_control(tmp_path: Path) -> None:
    async def first(journal: Journal) -> None:
        await follow(journal, job())
        await settle(journal, run(1), run(2), run(3, state=RunState.QUEUED))
        done = replace(run(1), state=RunState.DONE, finished_at=at(90), message="answered 200")
        await journal.change_runs([done, replace(run(2), state=RunState.RUNNING, started_at=at(121))])

    async def second(journal: Journal) -> None:
        found = await journal.write(lambda entries: entries.unfinished_runs())
        assert [(one.id, one.state) for one in found] == [
            (run(2).id, RunState.RUNNING),
            (run(3).id, RunState.QUEUED),
        ]
        done = await journal.run(run(1).id)
        assert done is not None
        assert (done.state, done.finished_at, done.message) == (RunState.DONE, at(90), "answered 200")

    in_journal(tmp_path / "journal.db", first)
    in_journal(tmp_path / "journal.db", second)


def test_jobs_follow_what_is_declared_and_keep_their_history(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        await follow(journal, job(), job("other"))
        await settle(journal, run(1))
        await follow(journal, job("other"), when=at(100))
        jobs = {one.name: one for one in await journal.write(lambda entries: entries.jobs(TASKS))}
        assert (jobs["tidy"].gone_at, jobs["other"].gone_at) == (at(100), None)
        assert [one.id for one in (await journal.runs(TASKS, "tidy")).items] == [run(1).id]
        await follow(journal, job(settled=at(200)), job("other"), when=at(200))
        jobs = {one.name: one for one in await journal.write(lambda entries: entries.jobs(TASKS))}
        assert (jobs["tidy"].gone_at, jobs["tidy"].settled) == (None, at(200))
        assert await journal.write(lambda entries: entries.jobs(REPORTS)) == ()

    in_journal(tmp_path / "journal.db", scenario)


def test_runs_are_told_in_pages_the_newest_first(tmp_path: Path) -> None:
    async def scenario(journal: Journal) -> None:
        await follow(journal, job(), job("other"))
        await settle(journal, *(run(minute) for minute in range(1, 6)))
        await journal.begin_runs([run(6, "other")])
        first = await journal.runs(TASKS, limit=2)
        assert ([one.id for one in first.items], first.total) == ([run(6, "other").id, run(5).id], 6)
        second = await journal.runs(TASKS, limit=2, after=first.next)
        assert [one.id for one in second.items] == [run(4).id, run(3).id]
        only = await journal.runs(TASKS, "other")
        assert ([one.id for one in only.items], only.next) == ([run(6, "other").id], None)
        last = await journal.write(lambda entries: entries.last_runs(2))
        assert [one.id for one in last] == [run(4).id, run(5).id, run(6, "other").id]

    in_journal(tmp_path / "journal.db", scenario)


@pytest.mark.parametrize("is_hanging", [False, True])
def test_old_runs_are_forgotten_but_for_what_is_under_way_and_never_begun_again(
    tmp_path: Path, is_hanging: bool
) -> None:
    async def scenario(journal: Journal) -> None:
        await follow(journal, job())
        begun = [run(minute, state=RunState.DONE) for minute in range(1, RUNS_KEPT + 320)]
        if is_hanging:
            begun[0] = replace(begun[0], state=RunState.RUNNING)
        for one in begun:
            await journal.begin_runs([one])
        page = await journal.runs(TASKS, limit=500)
        assert RUNS_KEPT <= page.total <= RUNS_KEPT + 251
        assert (page.items[-1].id == begun[0].id) is is_hanging
        (known,) = await journal.write(lambda entries: entries.jobs())
        kept = [one.scheduled_at for one in page.items if one.state is RunState.DONE]
        assert known.forgotten == min(kept) - MINUTE

    in_journal(tmp_path / "journal.db", scenario)
