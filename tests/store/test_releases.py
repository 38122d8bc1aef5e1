"""The releases of a service: what each remembers, how it goes forward, which are kept."""

import pytest

from reconciler.model.digest import Ingredients
from reconciler.model.failure import Reason
from reconciler.model.names import ReleaseId
from reconciler.model.problem import Problem
from reconciler.store import releases
from reconciler.store.journal import Journal
from reconciler.store.rows import Phase
from tests.store.journals import (
    ON_THE_WAY,
    REPORTS,
    START,
    TASKS,
    Place,
    at,
    begin,
    code,
    in_journal,
    make_live,
)


def test_releases_are_told_in_the_order_they_were_begun_whatever_the_clock_says(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        ingredients = code("a")
        for service, moment in ((TASKS, at(9)), (REPORTS, at(-1_000_000)), (TASKS, at(3))):
            await journal.begin_release(service, ingredients, "main@sha1:1", None, {}, moment)
        assert [row.id for row in (await journal.releases()).items] == ["tasks-2", "reports-1", "tasks-1"]
        assert [row.id for row in await journal.unfinished()] == ["tasks-1", "reports-1", "tasks-2"]

    in_journal(place, scenario)


def test_a_release_remembers_what_starting_it_again_without_git_needs(place: Place) -> None:
    async def write(journal: Journal) -> ReleaseId:
        ingredients = Ingredients("c" * 40, shared="s", environment="e", configuration="f", secrets="v")
        config = {"entry": "router:router", "env": {"PAGE_SIZE": "50"}, "replicas": 2}
        release = await journal.begin_release(
            TASKS, ingredients, "main@sha1:1", None, config, START, prefix="/api/tasks"
        )
        await journal.advance(release, Phase.MATERIALISED, at(1), folder="releases/tasks/tasks-1")
        await journal.advance(release, Phase.INSTALLED, at(2), environment="e" * 32, packages={"httpx": "0.28.1"})
        await journal.advance(release, Phase.STARTED, at(3), modules=["httpx"])
        return release

    async def read(journal: Journal) -> None:
        row = await journal.release(release)
        assert row is not None
        assert row.config == {"entry": "router:router", "env": {"PAGE_SIZE": "50"}, "replicas": 2}
        assert (row.folder, row.environment, row.prefix) == ("releases/tasks/tasks-1", "e" * 32, "/api/tasks")
        assert row.facts == {"packages": {"httpx": "0.28.1"}, "modules": ["httpx"]}
        assert row.ingredients.digest == row.digest
        assert (row.phase, row.phase_at) == (Phase.STARTED, at(3))
        assert [row.id for row in await journal.unfinished()] == [release]

    release = in_journal(place, write)
    in_journal(place, read)


def test_release_numbers_are_counted_per_service_and_survive_its_removal(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        assert [await begin(journal), await begin(journal, REPORTS), await begin(journal)] == [
            "tasks-1", "reports-1", "tasks-2",
        ]  # fmt: skip
        await journal.forget(TASKS, at(1))
        assert await begin(journal) == "tasks-3"

    in_journal(place, scenario)


def test_a_switch_changes_the_live_release_and_both_phases_at_once(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        first = await make_live(journal, letter="a")
        second = await begin(journal, letter="b")
        for phase in ON_THE_WAY:
            await journal.advance(second, phase, at(3))
        assert await journal.switch(TASKS, second, at(4)) == first
        service = await journal.service(TASKS)
        assert service is not None
        assert (service.live, service.applied, service.changed) == (second, "main@sha1:1", "main@sha1:1")
        rows = {row.id: row for row in (await journal.releases(TASKS)).items}
        assert (rows[first].phase, rows[second].phase, rows[second].live_at) == (Phase.DRAINING, Phase.LIVE, at(4))
        await journal.advance(first, Phase.RETIRED, at(5))
        retired = await journal.release(first)
        assert retired is not None
        assert (retired.retired_at, await journal.unfinished()) == (at(5), ())

    in_journal(place, scenario)


def test_a_switch_that_cannot_be_completed_changes_nothing(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        first = await make_live(journal)
        other = await begin(journal, REPORTS)
        failed = await begin(journal, letter="b")
        await journal.fail(failed, Reason.TESTS_FAILED, "two cases failed", at(3))
        for release in (other, failed, ReleaseId("tasks-99")):
            with pytest.raises((ValueError, LookupError)):
                await journal.switch(TASKS, release, at(4))
        service = await journal.service(TASKS)
        live = await journal.release(first)
        assert service is not None
        assert live is not None
        assert (service.live, live.phase) == (first, Phase.LIVE)

    in_journal(place, scenario)


@pytest.mark.parametrize(
    ("now", "then", "allowed"),
    [
        pytest.param(Phase.PLANNED, Phase.INSTALLED, True, id="a phase may be skipped when there was nothing to do"),
        pytest.param(Phase.STARTED, Phase.STARTED, True, id="a phase may be said twice"),
        pytest.param(Phase.STARTED, Phase.PLANNED, False, id="a release never goes back"),
        pytest.param(Phase.FAILED, Phase.LIVE, False, id="a failed release never becomes live"),
        pytest.param(Phase.RETIRED, Phase.STARTED, True, id="a retired release may be taken up again"),
    ],
)
def test_phases_go_forward(place: Place, now: Phase, then: Phase, allowed: bool) -> None:
    async def scenario(journal: Journal) -> Phase:
        release = await begin(journal)
        if now is Phase.FAILED:
            await journal.fail(release, Reason.START_FAILED, "it exited", at(1))
        else:
            await journal.advance(release, now, at(1))
        if allowed:
            await journal.advance(release, then, at(2))
        else:
            with pytest.raises(ValueError, match="cannot become"):
                await journal.advance(release, then, at(2))
        row = await journal.release(release)
        assert row is not None
        return row.phase

    assert in_journal(place, scenario) is (then if allowed else now)


def test_a_failure_is_told_with_its_problems_and_its_digest_is_remembered(place: Place) -> None:
    problem = Problem("no such module", "import-failed", service="tasks", file="services/tasks/router.py", line=3)

    async def write(journal: Journal) -> None:
        release = await begin(journal)
        told = {"problems": (problem,), "detail": "Traceback \ud800 with a lone surrogate and a \0"}
        await journal.fail(release, Reason.IMPORT_FAILED, "router.py cannot be imported", at(1), **told)  # type: ignore[arg-type]

    async def read(journal: Journal) -> None:
        row = await journal.release(ReleaseId("tasks-1"))
        assert row is not None
        assert (row.phase, row.reason, row.problems) == (Phase.FAILED, Reason.IMPORT_FAILED, (problem,))
        assert row.detail == "Traceback ? with a lone surrogate and a \N{REPLACEMENT CHARACTER}"
        (failed,) = await journal.failed_digests()
        assert (failed.service, failed.digest, failed.release) == (TASKS, code("a").digest, "tasks-1")
        assert (failed.reason, failed.problems) == (Reason.IMPORT_FAILED, (problem,))

    in_journal(place, write)
    in_journal(place, read)


def test_failed_digests_are_forgiven_for_one_service_or_for_all(place: Place) -> None:
    async def scenario(journal: Journal) -> None:
        for service, letter in ((TASKS, "a"), (TASKS, "a"), (TASKS, "b"), (REPORTS, "a")):
            release = await begin(journal, service, letter)
            await journal.fail(release, Reason.TESTS_FAILED, "a case failed", at(1))
        superseded = await begin(journal, TASKS, "c")
        await journal.fail(superseded, Reason.SUPERSEDED, "a newer commit came", at(2), remember=False)
        assert len(await journal.failed_digests(TASKS)) == 2
        assert await journal.forgive(TASKS) == 2
        assert [row.service for row in await journal.failed_digests()] == [REPORTS]
        assert await journal.forgive() == 1

    in_journal(place, scenario)


def test_old_finished_releases_are_dropped_but_never_the_live_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "RELEASES_KEPT", 10)

    async def scenario(journal: Journal) -> None:
        live = await make_live(journal)
        for _ in range(39):
            release = await begin(journal, letter="b")
            await journal.fail(release, Reason.TESTS_FAILED, "a case failed", at(3))
        kept = [row.number for row in (await journal.releases(TASKS, limit=100)).items]
        assert live == "tasks-1"
        assert kept == [*range(40, 30, -1), 1]

    in_journal(place, scenario)


def test_what_a_service_could_go_back_to_is_found_and_kept_however_much_failed_since(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "RELEASES_KEPT", 10)

    async def scenario(journal: Journal) -> None:
        *before, live = [await make_live(journal, letter=letter) for letter in "abcd"]
        for release in before:
            await journal.advance(release, Phase.RETIRED, at(3))
        bad = await make_live(journal, letter="e")
        await journal.switch(TASKS, live, at(4))
        await journal.fail(bad, Reason.TESTS_FAILED, "a case failed once it had the traffic", at(4))
        for _ in range(55):
            await journal.fail(await begin(journal, letter="f"), Reason.TESTS_FAILED, "a case failed", at(5))
        assert live == "tasks-4"
        assert [row.id for row in await journal.releases_before(TASKS, live)] == ["tasks-2", "tasks-3"]
        assert await journal.release(ReleaseId("tasks-1")) is None

    in_journal(place, scenario)


def test_of_a_service_that_always_fails_the_last_failures_are_remembered(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "FAILED_KEPT", 3)

    async def scenario(journal: Journal) -> None:
        for moment, letter in enumerate("abcdeb"):
            await journal.fail(await begin(journal, letter=letter), Reason.TESTS_FAILED, "a case failed", at(moment))
        other = await begin(journal, REPORTS, letter="a")
        await journal.fail(other, Reason.TESTS_FAILED, "a case failed", at(0))
        kept = [row.digest for row in await journal.failed_digests(TASKS)]
        assert kept == [code(letter).digest for letter in "deb"]
        assert len(await journal.failed_digests(REPORTS)) == 1

    in_journal(place, scenario)
