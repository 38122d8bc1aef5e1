"""Pages as the server draws them: what they say, and that what others wrote stays text."""

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import unescape

import httpx
import pytest

from reconciler.dashboard.assets import ASSETS, FOLDER
from reconciler.dashboard.listing import PAGE, listing
from reconciler.dashboard.page import ago
from reconciler.model.access import Caller
from reconciler.model.names import ServiceName
from reconciler.model.notice import Kind
from reconciler.model.status import (
    CommitStatus,
    EventStatus,
    JobStatus,
    PhaseTime,
    ProcessStatus,
    ReleaseStatus,
    RunStatus,
)
from tests.api.asking import TOKEN, ask, client, get
from tests.api.platform import Past, Still
from tests.api.statuses import FAILED, SINCE, condition, failing, release, service, sync

PAGES = ("/", "/services/red", "/services/red/compare?before=red-1&after=red-2", "/syncs", "/syncs/1", "/events")
EVIL = "<script>alert('x')</script>\x1b[31mred\x1b]0;title\x07\u202eback"
SHOWN = "<script>alert('x')</script>redback"


class Told(Past):
    """A past whose releases have phases and a commit that somebody wrote to do harm."""

    async def releases(self, name: str, limit: int, after: str | None):  # type: ignore[no-untyped-def]
        phases = tuple(
            PhaseTime(name=phase, service=name, started_at=SINCE + timedelta(seconds=begin), seconds=took)
            for phase, begin, took in (("environment", 0, 1.5), ("start", 1.5, 0.25), ("suite", 1.75, 2.25))
        )
        live = release(name, 2, commit=commit(), phases=phases)
        return [live, release(name, 1, phase="retired", retired_at=SINCE + timedelta(hours=2))], 2


class Rich(Still):
    """A still platform in which one service has said everything that a service can."""

    def __init__(self) -> None:
        super().__init__(service("tasks", live=release("tasks", 2, commit=commit()), description=EVIL), failing("red"))
        self.history = Told(self)

    async def suite(self, name: str):  # type: ignore[no-untyped-def]
        return FAILED


def commit() -> CommitStatus:
    return CommitStatus(sha="0" * 40, author=EVIL, subject=EVIL * 5000, at=SINCE)


def text_of(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def named(page: str) -> list[str]:
    """The services that a list shows, in its order."""
    return re.findall(r'<th scope="row"><a href="/services/([^"]+)"', page)


@pytest.mark.parametrize("path", [*PAGES, "/sign-in", "/services/nope", "/services/red/compare?before=x&after=y"])
def test_a_page_is_allowed_nothing_from_elsewhere_and_nothing_written_into_it(path: str) -> None:
    answer = get(Still(failing("red")), path)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy and answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    # Otherwise the policy would stop our own page.
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:", answer.text)
    outside = [found for found in re.findall(r'(?:src|href|action)="([^"]*)"', answer.text) if found[0] not in "/#"]
    assert outside == []


@pytest.mark.parametrize("path", ["/", "/services/tasks"])
def test_what_others_wrote_stays_text(path: str) -> None:
    page = get(Rich(), path).text
    assert "<script>alert" not in page and SHOWN in text_of(page)
    assert not re.search(r"[\x00-\x08\x1b\u202e]", page)
    assert len(page) < 60_000, "a subject of a megabyte is cut"


@pytest.mark.parametrize("path", ["/services/%3Cscript%3Ealert(1)", "/syncs/%3Cimg%20src%3Dx%3E"])
def test_what_does_not_exist_is_told_without_repeating_it_as_html(path: str) -> None:
    answer = get(Rich(), path)
    assert answer.status_code == 404 and "There is no" in text_of(answer.text)
    assert "<img src=x" not in answer.text and "<script>alert" not in answer.text


def test_a_stranger_is_led_to_the_door() -> None:
    async def scenario() -> list[httpx.Response]:
        async with client(Rich(), token=False) as asked:
            return [await asked.get(path) for path in (*PAGES, "/docs")]

    for answer in asyncio.run(scenario()):
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


def test_what_is_broken_stands_first_and_says_why() -> None:
    page = get(Still(service("alpha"), service("beta"), failing("red")), "/").text
    assert named(page) == ["red", "alpha", "beta"]
    assert "ImportFailed It does not import: no module named nope." in text_of(page)
    assert "3 services Ready 2 Stalled 1" in text_of(page)


@pytest.mark.parametrize(
    ("given", "word", "shape"),
    [
        ((condition(),), "Ready", "check"),
        ((condition("Ready", "False", "TestsFailed"),), "Not ready", "cross"),
        ((condition("Ready", "False"), condition("Stalled", "True", "ImportFailed")), "Stalled", "cross"),
        ((condition("Ready", "Unknown"), condition("Syncing", "True", "Progressing")), "Syncing", "ring"),
        ((condition("Ready", "False"), condition("Suspended", "True", "Requested")), "Suspended", "pause"),
        ((condition(), condition("Asleep", "True", "Idle")), "Asleep", "moon"),
        ((condition(), condition("RolledBack", "True", "Requested")), "Ready", "check"),
    ],
)
def test_a_condition_has_a_word_and_a_shape(given: tuple[object, ...], word: str, shape: str) -> None:
    page = get(Still(service("one", *given)), "/").text  # type: ignore[arg-type]
    table = page[page.index("<tbody>") :]
    assert re.search(rf'<use href="#{shape}"/></svg>{word}</span>', table)
    assert ("Rolled back" in table) == (len(given) == 2 and getattr(given[1], "type", "") == "RolledBack")


def test_a_failing_service_tells_its_cause_with_file_line_excerpt_and_remedy() -> None:
    told = text_of(get(Rich(), "/services/red").text)
    for said in (
        "services/red/router.py:3",
        "import nope",
        "What to do: add it to requirements",
        "ModuleNotFoundError",
    ):
        assert said in told


def test_a_service_that_stalled_says_so_once() -> None:
    why = "It does not start."
    twice = (condition("Ready", "False", "StartFailed", why), condition("Stalled", "True", "StartFailed", why))
    assert text_of(get(Still(service("one", *twice)), "/services/one").text).count(why) == 1


def test_jobs_and_processes_tell_how_they_stand() -> None:
    run = {"id": "r", "job": "nightly", "cause": "schedule", "actor": None, "state": "failed", "release": "one-1"}
    times = {"scheduled_at": SINCE, "started_at": SINCE, "finished_at": SINCE, "late": 0.0, "message": "<b>500</b>"}
    last = RunStatus.model_validate({**run, **times})
    job = {"name": "nightly", "schedule": "0 2 * * *", "timezone": "UTC", "does": "POST /jobs/nightly", "next": SINCE}
    state = {"running": None, "waiting": 0, "last": last, "outcomes": ("failed",), "missed": 0}
    process = {"name": "worker", "command": "celery", "state": "backoff", "pid": None, "started_at": None}
    one = service(
        "one",
        cron=(JobStatus.model_validate({**job, **state}),),
        processes=(ProcessStatus(**process, restarts=3, last_exit="exit 1"),),
    )
    page = get(Still(one), "/services/one").text
    assert "nightly POST /jobs/nightly 0 2 * * * UTC 2026-01-02 03:04:05 UTC failed" in text_of(page)
    assert "<b>500" not in page and "worker celery backoff exit 1 3" in text_of(page)


def test_a_failed_case_stands_open_with_what_was_asked_expected_and_got() -> None:
    page = get(Rich(), "/services/red").text
    case = page[page.index('data-key="case') : page.index("</details>", page.index('data-key="case'))]
    assert case.split(">")[0].endswith("open")
    assert "curl -i http://127.0.0.1:8000/api/red/hello" in case
    assert "status 200 500" in text_of(case)


def test_phases_are_drawn_on_one_scale_and_told_in_numbers() -> None:
    page = get(Rich(), "/services/tasks").text
    assert re.findall(r'<rect x="([\d.]+)" y="0" width="([\d.]+)"', page) == [
        ("0.0", "375.0"),
        ("375.0", "62.5"),
        ("437.5", "562.5"),
    ]
    assert "environment 1.5 s start 0.25 s suite 2.2 s" in text_of(page)


def test_only_who_may_deploy_finds_the_buttons() -> None:
    async def scenario() -> tuple[str, str]:
        platform = Rich()
        reader = await platform.keys.sign_in(Caller("somebody", frozenset({"read"})))
        async with client(platform) as asked:
            owner = (await asked.get("/services/tasks")).text
            asked.headers["authorization"] = f"Bearer {reader}"
            return owner, (await asked.get("/services/tasks")).text

    owner, reader = asyncio.run(scenario())
    assert 'data-post="/v1/services/tasks/rollback" data-to="tasks-1"' in owner
    assert "data-post" not in reader


def test_a_token_for_one_service_shows_that_one_and_nothing_of_the_platform() -> None:
    async def scenario() -> tuple[str, int, int]:
        platform = Rich()
        confined = await platform.keys.sign_in(
            Caller("somebody", frozenset({"read"}), services=frozenset({ServiceName("tasks")}))
        )
        async with client(platform, token=False) as asked:
            asked.headers["authorization"] = f"Bearer {confined}"
            answers = [await asked.get(path) for path in ("/", "/services/red", "/syncs")]
        return answers[0].text, answers[1].status_code, answers[2].status_code

    page, other, syncs = asyncio.run(scenario())
    assert named(page) == ["tasks"] and "/repository" not in page
    assert (other, syncs) == (403, 403)


def test_thousands_of_services_are_a_hundred_at_a_time() -> None:
    platform = Still(*(service(f"s{number:04}") for number in range(2000)))

    async def scenario(asked: httpx.AsyncClient) -> list[str]:
        paths = ("/", "/?page=20", "/?page=999999", "/?q=s0042", "/?look=STALLED", "/?q=s00&page=1")
        return [(await asked.get(path)).text for path in paths]

    first, last, beyond, one, none, some = ask(platform, scenario)
    assert named(first) == [f"s{number:04}" for number in range(PAGE)]
    assert 'rel="next" href="/?page=2"' in first and "1 to 100 of 2000" in text_of(first)
    assert named(last)[-1] == named(beyond)[-1] == "s1999" and 'rel="next"' not in last
    assert named(one) == ["s0042"]
    assert named(none) == [] and "No service is like that" in none
    assert len(named(some)) == 100
    assert len(first.encode()) < 120_000


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=x", "page=1" + "0" * 30, "q=" + "x" * 101])
def test_an_address_that_makes_no_sense_is_answered_with_a_page(query: str) -> None:
    answer = get(Rich(), f"/?{query}")
    assert answer.status_code == 422 and "does not make sense" in answer.text


@pytest.mark.parametrize("query", ["q=%27%20OR%201%3D1--", "q=%3Cb%3E", "look=%3Cb%3E", "q=%00"])
def test_a_filter_that_means_nothing_finds_nothing_and_does_no_harm(query: str) -> None:
    page = get(Rich(), f"/?{query}").text
    assert "<b>" not in page and "No service is like that" in page


def test_what_is_found_may_stand_in_the_description_or_the_commit() -> None:
    services = [service("a", description="Sends invoices"), service("b", live=release("b", 1, commit=commit()))]
    assert [row.service.name for row in listing(services, "INVOICE").rows] == ["a"]
    assert [row.service.name for row in listing(services, "alert(").rows] == ["b"]


def test_a_sync_under_way_counts_what_is_settled() -> None:
    working = service(
        "b", condition("Ready", "Unknown"), condition("Syncing", "True", "Progressing", "playing its suite")
    )
    platform = Still(service("a"), working, syncs=0)
    platform.past = [sync(9, "running")]
    actions = [{"service": name, "verb": "start", "why": "new"} for name in "abc"]
    platform.history.told = [
        event(1, Kind.SYNC_PLANNED, data={"actions": actions, "kept": 1}),
        event(2, Kind.RELEASE_SWITCHED, "a"),
        event(3, Kind.RELEASE_SWITCHED, "a", sync="8"),
    ]
    page = get(platform, "/").text
    assert '<progress max="3" value="1"' in page
    assert "Sync in progress: sync 9 , 1 of 3 services b playing its suite" in text_of(page)
    platform.past = [sync(9, "done")]
    assert "Sync in progress" not in get(platform, "/").text


def test_trouble_with_the_source_is_told_on_top() -> None:
    platform = Still(service("a"))
    platform.source_is_good = False
    assert "SourceUnavailable The repository cannot be reached." in text_of(get(platform, "/").text)


def test_an_empty_platform_says_what_to_do() -> None:
    assert "There is no service yet. Commit a folder" in text_of(get(Still(syncs=0), "/").text)


@pytest.mark.parametrize("name", sorted(ASSETS))
@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_an_asset_may_be_kept_for_ever_since_its_address_names_its_content(name: str, coding: str) -> None:
    async def scenario() -> tuple[httpx.Response, httpx.Response]:
        async with client(Still(), token=False) as asked:
            address = ASSETS[name].address
            other = address.replace(".", ".0", 1)
            return await asked.get(address, headers={"Accept-Encoding": coding}), await asked.get(other)

    kept, unknown = asyncio.run(scenario())
    assert kept.status_code == 200 and "immutable" in kept.headers["cache-control"]
    assert kept.headers.get("content-encoding", "identity") == coding
    assert kept.content == ASSETS[name].plain
    assert unknown.status_code == 404


def test_our_own_files_stay_small_and_name_no_other_host() -> None:
    for name in ("style.css", "live.js", "docs.js", "docs.css"):
        text = (FOLDER / name).read_text()
        assert len(text.encode()) < 20_000 and "//" not in text.replace("// ", ""), name


def event(number: int, kind: Kind, service: str | None = None, sync: str = "9", **more: object) -> EventStatus:
    told = {"id": number, "at": SINCE, "kind": kind, "service": service, "release": None, "sync": sync, "message": kind}
    return EventStatus.model_validate({**told, **more})


def test_the_token_is_in_no_page() -> None:
    assert all(TOKEN not in get(Rich(), path).text for path in PAGES)


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    class SetBack(Past):
        async def releases(self, name: str, limit: int, after: str | None) -> tuple[Sequence[ReleaseStatus], int]:
            later = SINCE + timedelta(hours=1)
            return [release(name, 1, phase="retired", created_at=later, live_at=later, retired_at=SINCE)], 1

    platform = Still(service("tasks"))
    platform.history = SetBack(platform)
    page = text_of(get(platform, "/services/tasks").text)
    assert "lived 0.00 s" in page
    assert ago(datetime.now(UTC) + timedelta(days=1)) == "just now"
