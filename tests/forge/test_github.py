"""What GitHub is told, against a stand-in that holds every word to GitHub's own description of its API."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import httpx
import pytest

from reconciler.forge.github import App, GitHub
from reconciler.forge.http import NotNow, Refused
from reconciler.forge.links import Links
from reconciler.model.statement import (
    MARKER,
    Annotation,
    Deployed,
    State,
    Statement,
    Summary,
    Word,
    concluded,
    finished,
    planned,
    rolled_back,
)
from tests.forge.github import TOKEN
from tests.forge.github import GitHub as StandIn

OLD, NEW = "a" * 40, "b" * 40
LINKS = Links("https://api.example.com", "https://dash.example.com")
START = {"service": "tasks", "verb": "start", "why": "new"}
DONE = {**START, "outcome": "done"}
FAILED = {**START, "outcome": "failed", "reason": "TestsFailed", "message": "2 of 5 cases failed"}


def telling(
    stand_in: StandIn, scenario: Callable[[GitHub], Awaitable[None]], *, app: bool = False, token: str = TOKEN
) -> None:
    async def run() -> None:
        credentials = App("42", stand_in.private_key) if app else None
        transport = httpx.ASGITransport(stand_in.app)
        speaker = GitHub("https://api.github.com", stand_in.repository, token, LINKS, credentials, transport)
        await scenario(speaker)

    asyncio.run(run())
    assert stand_in.faults == []


async def say(speaker: GitHub, words: Sequence[Word]) -> None:
    for word in words:
        await speaker.say(word)


def test_a_good_deploy_is_pending_and_then_done_with_its_url() -> None:
    stand_in = StandIn()

    async def scenario(speaker: GitHub) -> None:
        await say(speaker, planned(NEW, [START]))
        assert stand_in.latest(NEW) == {
            "reconciler/tasks": ("pending", "starting: new"),
            "reconciler/sync": ("pending", "1 service to release"),
        }
        await say(speaker, concluded(NEW, {**DONE, "path": "/api/tasks/"}))
        await say(speaker, finished(NEW, "done", None, [DONE]))

    telling(stand_in, scenario)
    assert stand_in.latest(NEW) == {
        "reconciler/tasks": ("success", "live at /api/tasks/"),
        "reconciler/sync": ("success", "1 released"),
    }
    (deployment,) = stand_in.deployments.values()
    assert (deployment["environment"], deployment["state"]) == ("production/tasks", "success")
    assert deployment["environment_url"] == "https://api.example.com/api/tasks/"


def test_a_failing_deploy_says_why() -> None:
    stand_in = StandIn()

    async def scenario(speaker: GitHub) -> None:
        await say(speaker, planned(NEW, [START]))
        await say(speaker, concluded(NEW, FAILED))
        await say(speaker, finished(NEW, "failed", None, [FAILED]))

    telling(stand_in, scenario)
    assert stand_in.latest(NEW) == {
        "reconciler/tasks": ("failure", "TestsFailed: 2 of 5 cases failed"),
        "reconciler/sync": ("failure", "failed: tasks"),
    }
    assert stand_in.deployments == {}


def test_saying_it_again_says_nothing_also_after_a_restart() -> None:
    stand_in = StandIn()
    words = [*concluded(NEW, DONE), *finished(NEW, "done", None, [DONE])]

    async def twice(speaker: GitHub) -> None:
        await say(speaker, words)
        await say(speaker, words)

    telling(stand_in, twice)
    telling(stand_in, twice)
    assert [path for _, path, _ in stand_in.calls].count(f"/statuses/{NEW}") == 2
    assert [len(states) for states in stand_in.deployment_states.values()] == [1], "each starts workflows of its own"


@pytest.mark.parametrize("app", [False, True], ids=["statuses", "check runs"])
def test_a_hundred_services_and_more_are_remembered_too(app: bool) -> None:
    stand_in = StandIn()
    words = [Statement(NEW, f"reconciler/service-{number}", State.SUCCESS, "live") for number in range(130)]
    telling(stand_in, lambda speaker: say(speaker, words), app=app)
    telling(stand_in, lambda speaker: say(speaker, words), app=app)
    assert len(stand_in.calls) == 130


def test_an_app_writes_check_runs_with_each_problem_at_its_line() -> None:
    stand_in = StandIn()
    numbers = range(1, 121)
    problems = [{"file": "services/tasks/tests.yaml", "line": number, "message": "not 200"} for number in numbers]

    async def scenario(speaker: GitHub) -> None:
        await say(speaker, planned(NEW, [START]))
        await say(speaker, concluded(NEW, FAILED, problems))

    telling(stand_in, scenario, app=True)
    assert stand_in.statuses == {}
    runs = {run["name"]: run for run in stand_in.runs.values()}
    run = runs["reconciler/tasks"]
    assert (run["status"], run["conclusion"]) == ("completed", "failure")
    assert [one["start_line"] for one in run["annotations"]] == list(range(1, 121))
    assert runs["reconciler/sync"]["status"] == "in_progress"


def test_an_app_that_starts_again_goes_on_with_the_run_it_had() -> None:
    stand_in = StandIn()
    telling(stand_in, lambda speaker: say(speaker, planned(NEW, [START])), app=True)
    telling(stand_in, lambda speaker: say(speaker, concluded(NEW, DONE)), app=True)
    assert len(stand_in.runs) == 2
    assert {run["conclusion"] for run in stand_in.runs.values()} == {"success", None}


def test_what_was_cut_off_in_the_middle_repeats_no_annotation() -> None:
    stand_in = StandIn()
    problems = [{"file": "services/tasks/tests.yaml", "line": line, "message": "not 200"} for line in range(1, 121)]
    (word,) = concluded(NEW, FAILED, problems)

    async def scenario(speaker: GitHub) -> None:
        await say(speaker, planned(NEW, [START]))
        stand_in.passing, stand_in.refusals = 2, [(502, {}, {})]
        with pytest.raises(NotNow):
            await speaker.say(word)
        await speaker.say(word)

    telling(stand_in, scenario, app=True)
    (run,) = [one for one in stand_in.runs.values() if one["name"] == "reconciler/tasks"]
    assert [one["start_line"] for one in run["annotations"]] == list(range(1, 121))


def test_another_attempt_is_another_run_with_annotations_of_its_own() -> None:
    stand_in = StandIn()
    problems = [{"file": "services/tasks/tests.yaml", "line": 3, "message": "not 200"}]

    async def scenario(speaker: GitHub) -> None:
        for _ in range(2):
            await say(speaker, planned(NEW, [START]))
            await say(speaker, concluded(NEW, FAILED, problems))

    telling(stand_in, scenario, app=True)
    runs = [one for one in stand_in.runs.values() if one["name"] == "reconciler/tasks"]
    assert [len(one["annotations"]) for one in runs] == [1, 1]


def test_an_app_needs_no_permission_but_those_it_is_said_to_need() -> None:
    stand_in = StandIn(may_see_statuses=False, pulls={NEW: [5]})

    async def scenario(speaker: GitHub) -> None:
        await say(speaker, [*planned(NEW, [START]), *concluded(NEW, DONE), *finished(NEW, "done", None, [DONE])])

    telling(stand_in, scenario, app=True)
    assert {run["conclusion"] for run in stand_in.runs.values()} == {"success"}
    assert len(stand_in.deployments) == len(stand_in.comments) == 1


def test_an_app_without_the_right_to_write_checks_says_it_in_statuses() -> None:
    stand_in = StandIn(may_write_checks=False)
    telling(stand_in, lambda speaker: say(speaker, planned(NEW, [START])), app=True)
    assert stand_in.latest(NEW)["reconciler/tasks"][0] == "pending"
    assert stand_in.runs == {}


def test_a_rollback_is_a_failure_of_the_new_and_a_success_of_the_old() -> None:
    stand_in = StandIn()

    async def scenario(speaker: GitHub) -> None:
        for sha in (OLD, NEW):
            await say(speaker, concluded(sha, {**DONE, "path": "/api/tasks/"}))
        await say(speaker, rolled_back(NEW, OLD, "tasks", "tasks-2 answered 500", "/api/tasks/"))

    telling(stand_in, scenario)
    assert stand_in.latest(NEW)["reconciler/tasks"] == ("failure", "rolled back: tasks-2 answered 500")
    assert stand_in.latest(OLD)["reconciler/tasks"] == ("success", "live again")
    deployments = [(one["sha"], one["state"]) for one in stand_in.deployments.values()]
    assert deployments == [(OLD, "inactive"), (NEW, "inactive"), (OLD, "success")], "the newest is what GitHub shows"
    assert stand_in.deployments[max(stand_in.deployments)]["environment_url"] == "https://api.example.com/api/tasks/"


def test_a_pull_request_has_one_comment_that_is_kept_up_to_date() -> None:
    stand_in = StandIn(pulls={NEW: [5], OLD: [5]})

    async def scenario(speaker: GitHub) -> None:
        await speaker.say(Summary(OLD, f"{MARKER}\nfirst"))
        await speaker.say(Summary(NEW, f"{MARKER}\nsecond"))
        await speaker.say(Summary("c" * 40, f"{MARKER}\nof nobody"))

    telling(stand_in, scenario)
    (comment,) = stand_in.comments.values()
    assert comment["body"] == f"{MARKER}\nsecond"


def test_the_comment_is_found_among_many() -> None:
    stand_in = StandIn(pulls={NEW: [5], OLD: [5]})

    async def scenario(speaker: GitHub) -> None:
        for number in range(1_001, 1_121):
            stand_in.comment(number, 5, "me too")
        await speaker.say(Summary(OLD, f"{MARKER}\nfirst"))
        await speaker.say(Summary(NEW, f"{MARKER}\nsecond"))

    telling(stand_in, scenario)
    assert [one["body"] for one in stand_in.comments.values() if one["body"] != "me too"] == [f"{MARKER}\nsecond"]


@pytest.mark.parametrize(
    ("status", "headers", "body", "after"),
    [
        (502, {}, {}, None),
        (429, {"retry-after": "7"}, {"message": "slow down"}, 7.0),
        (403, {"retry-after": "60"}, {"message": "You have exceeded a secondary rate limit."}, 60.0),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, {"message": "API rate limit exceeded"}, 0.0),
        (403, {}, {"message": "You have exceeded a secondary rate limit."}, 60.0),
        (429, {}, {"message": "You have exceeded a secondary rate limit."}, 60.0),
    ],
)
def test_what_asks_for_patience_gets_it(
    status: int, headers: dict[str, str], body: dict[str, str], after: float | None
) -> None:
    stand_in = StandIn(refusals=[(status, headers, body)])

    async def scenario(speaker: GitHub) -> None:
        with pytest.raises(NotNow) as told:
            await speaker.say(Statement(NEW, "reconciler/tasks", State.PENDING, "starting"))
        assert told.value.after == after
        await speaker.say(Statement(NEW, "reconciler/tasks", State.PENDING, "starting"))

    telling(stand_in, scenario)
    assert len(stand_in.calls) == 1


@pytest.mark.parametrize(
    ("status", "host", "arrives"),
    [(307, "api.github.com", 1), (307, "other.example", 0), (302, "api.github.com", 0)],
    ids=["here", "elsewhere", "as another question"],
)
def test_a_repository_that_was_renamed_is_found_where_github_says(status: int, host: str, arrives: int) -> None:
    moved = {"location": f"https://{host}/repos/octo/services/statuses/{NEW}"}
    stand_in = StandIn(passing=1, refusals=[(status, moved, {"message": "Moved"})])

    async def scenario(speaker: GitHub) -> None:
        with suppress(Refused):
            await speaker.say(Statement(NEW, "reconciler/tasks", State.PENDING, "starting"))

    telling(stand_in, scenario)
    assert len(stand_in.calls) == arrives


def test_a_forge_that_is_not_there_is_not_now() -> None:
    async def scenario() -> None:
        speaker = GitHub("http://127.0.0.1:1", "octo/services", TOKEN, LINKS)
        with pytest.raises(NotNow, match="does not answer"):
            await speaker.say(Statement(NEW, "reconciler/tasks", State.PENDING, "starting"))

    asyncio.run(scenario())


@pytest.mark.parametrize("trouble", [NotNow("away"), Refused(422, "no")], ids=["not now", "refused"])
def test_trouble_passes_through_whatever_stands_between(trouble: Exception) -> None:
    @contextmanager
    def between() -> Iterator[None]:
        yield

    with pytest.raises(type(trouble)), between():
        raise trouble


def test_wrong_credentials_are_refused() -> None:
    async def scenario(speaker: GitHub) -> None:
        with pytest.raises(Refused) as told:
            await speaker.say(Statement(NEW, "reconciler/tasks", State.PENDING, "starting"))
        assert told.value.status == 401

    telling(StandIn(), scenario, token="ghp_expired")


def test_long_and_odd_words_are_cut_to_what_github_takes() -> None:
    stand_in = StandIn()
    odd = {**FAILED, "message": "x" * 500 + "\n\x00<script>"}
    problems = [{"file": "services/tasks/router.py", "line": None, "message": "y" * 100_000}]

    async def scenario(speaker: GitHub) -> None:
        await say(speaker, concluded(NEW, odd, problems))
        await say(speaker, finished(NEW, "failed", "z" * 500, [odd]))

    telling(stand_in, scenario)
    telling(stand_in, scenario, app=True)
    assert all(len(one["description"]) <= 140 for one in stand_in.statuses[NEW])


def test_a_table_is_no_longer_than_a_comment_may_be() -> None:
    stand_in = StandIn(pulls={NEW: [5]})
    actions = [{**FAILED, "service": "a_" * 31, "message": "`_[*" * 90} for _ in range(100)]
    telling(stand_in, lambda speaker: say(speaker, finished(NEW, "failed", None, actions)))
    (comment,) = stand_in.comments.values()
    rows = comment["body"].count("\n| a")
    assert 0 < rows < 100 and f"\n{100 - rows} more." in comment["body"]


def test_what_was_deployed_before_is_deployed_again_when_it_returns() -> None:
    stand_in = StandIn()

    async def scenario(speaker: GitHub) -> None:
        for sha in (OLD, NEW, OLD):
            await speaker.say(Deployed(sha, "tasks", "/api/tasks/"))

    telling(stand_in, scenario)
    active = [one["sha"] for one in stand_in.deployments.values() if one["state"] == "success"]
    assert active == [OLD]


def test_a_service_may_have_the_name_that_stands_for_all() -> None:
    sync = {**START, "service": "sync"}
    own, total = planned(NEW, [sync])
    assert isinstance(own, Statement) and isinstance(total, Statement)
    assert (own.context, own.service) == ("reconciler/services/sync", "sync")
    assert (total.context, total.service) == ("reconciler/sync", None)
    (failed,) = concluded(NEW, {**sync, **FAILED, "service": "sync"})
    assert failed.key == own.key != total.key


def test_annotations_need_a_file() -> None:
    (statement,) = concluded(NEW, FAILED, [{"message": "no place"}, {"file": "a", "line": 3, "message": "there"}])
    assert isinstance(statement, Statement)
    assert statement.annotations == (Annotation("a", 3, "there"),)
