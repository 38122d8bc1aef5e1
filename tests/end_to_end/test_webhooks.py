"""Webhooks through the real door: POSTs that a forge would send, and what comes of them."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests import webhooks
from tests.end_to_end.platform import Platform, Told, eventually
from tests.end_to_end.samples import PLATFORM, router, service
from tests.end_to_end.telling import listed, resident, syncs
from tests.webhooks import ENVIRON, SECRET, Hook

SLOW = """
    import pathlib, time
    from fastapi import APIRouter

    router = APIRouter()
    while pathlib.Path("{brake}").exists():
        time.sleep(0.01)
"""
GATHERING = 5.0
"""So long the server waits for the end of a burst at most."""


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Platform]:
    """One running platform that takes webhooks of everybody."""
    with Platform(tmp_path_factory.mktemp("webhooks"), template, variables=ENVIRON) as made:
        made.commit({"services.yaml": PLATFORM, **service("steady")})
        yield made.start()


def post(platform: Platform, hook: Hook) -> httpx.Response:
    return platform.control.post(hook.path, content=hook.body, headers=hook.headers)


def fresh(**more: Any) -> Hook:
    return webhooks.github(payload=webhooks.pushed(nonce=uuid4().hex, **more))


def receipt(platform: Platform, number: str) -> Told:
    told: Told = platform.control.get(f"/v1/webhooks/{number}").raise_for_status().json()
    return told


def ended(platform: Platform, number: str) -> Told:
    def look() -> Told:
        told = receipt(platform, number)
        over = told["outcome"] and told["outcome"]["state"] in {"done", "failed", "superseded"}
        return told if over else {}

    told: Told = eventually(look, within=30, what=f"the end of what receipt {number} asked for")
    return told


def asked_by_webhooks(platform: Platform, since: int) -> int:
    newest = platform.control.get(f"/v1/syncs?limit={syncs(platform) - since or 1}").json()["items"]
    return sum(sync["trigger"] == "webhook" for sync in newest)


def settled(platform: Platform) -> None:
    eventually(lambda: platform.control.get("/v1/syncs?limit=1").json()["items"][0]["state"] == "done", within=20)


@pytest.mark.parametrize(
    "tell",
    [
        lambda: webhooks.github(form=True),
        lambda: webhooks.gitlab(signing=webhooks.SIGNING, token=None, at=time.time()),
        webhooks.gitea,
        webhooks.bitbucket,
        lambda: webhooks.standard(at=time.time()),
    ],
    ids=["github", "gitlab", "gitea", "bitbucket", "standard"],
)
def test_a_push_that_a_forge_tells_goes_live_and_the_receipt_says_how(
    forge: Platform, tell: Callable[[], Hook]
) -> None:
    hook = tell()
    forge.commit(service("tasks", version := uuid4().hex))
    answer = httpx.post(f"{forge.control.base_url}{hook.path}", content=hook.body, headers=hook.headers)
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "accepted" and not answer.json()["repeated"]
    told = ended(forge, answer.json()["receipt"])
    assert told["outcome"]["state"] == "done" and told["outcome"]["trigger"] == "webhook"
    assert [one["service"] for one in told["outcome"]["actions"]] == ["tasks"]
    assert forge.version("tasks") == version


def test_what_is_not_genuine_leaves_no_trace(forge: Platform) -> None:
    before = forge.control.get("/v1/webhooks").json()["total"], syncs(forge)
    forged = webhooks.github(secret="a secret of somebody else")
    assert post(forge, forged).status_code == 401
    assert (forge.control.get("/v1/webhooks").json()["total"], syncs(forge)) == before
    assert forge.control.post("/webhooks/no-such-forge").status_code == 404
    assert forge.control.get("/v1/webhooks/1000000").status_code == 404
    nobody = httpx.get(f"{forge.control.base_url}/v1/webhooks/1")
    assert nobody.status_code == 401


def test_what_is_about_something_else_is_answered_well_and_causes_nothing(forge: Platform) -> None:
    before = syncs(forge)
    answer = post(forge, fresh(branch="topic"))
    assert answer.status_code == 202
    told = receipt(forge, answer.json()["receipt"])
    assert (told["state"], told["sync"], told["outcome"]) == ("ignored", None, None)
    assert "the branch topic" in told["reason"]
    assert post(forge, webhooks.github("ping", {"zen": "Keep it"})).json() == {
        "receipt": None,
        "state": "pong",
        "reason": "the webhook is set up well",
        "repeated": False,
    }
    assert syncs(forge) == before


def test_a_thousand_replays_are_one_look_and_no_sync(forge: Platform) -> None:
    """Under the number they had, and under others: GitHub does not sign it."""
    forge.commit(service("tasks", "of-long-ago"))
    hook = fresh()
    first = ended(forge, post(forge, hook).json()["receipt"])
    forge.deploy(service("tasks", "of-today"))
    before = syncs(forge)
    renamed = (Hook(hook.provider, {**hook.headers, "X-GitHub-Delivery": str(n)}, hook.body) for n in range(999))
    replays = [hook, *renamed]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda one: post(forge, one), replays))
    assert Counter(answer.status_code for answer in answers) == {200: 1000}
    assert {answer.json()["receipt"] for answer in answers} == {first["id"]}
    assert all(answer.json()["repeated"] for answer in answers)
    assert receipt(forge, first["id"])["repeats"] == 1000
    assert syncs(forge) == before
    assert forge.version("tasks") == "of-today"


def test_a_redelivery_of_what_was_missed_finds_it_all_the_same(forge: Platform) -> None:
    """It came before, so it asks for no sync; the poll has a look, and finds what nobody announced."""
    hook = fresh()
    ended(forge, post(forge, hook).json()["receipt"])
    forge.commit(service("tasks", version := uuid4().hex))
    assert post(forge, hook).json()["repeated"]
    eventually(lambda: forge.version("tasks") == version, within=20, what="the commit")


def test_a_burst_of_a_thousand_is_at_most_two_syncs_and_none_is_lost(forge: Platform) -> None:
    settled(forge)
    control = forge.process("control")
    before, memory = syncs(forge), resident(control.pid)
    forge.commit(service("tasks", version := uuid4().hex))
    hooks = [fresh() for _ in range(1000)]
    moments = [time.monotonic()]

    def send(hook: Hook) -> httpx.Response:
        answer = post(forge, hook)
        moments.append(time.monotonic())
        return answer

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, hooks))
    assert Counter(answer.status_code for answer in answers) == {202: 1000}
    numbers = [answer.json()["receipt"] for answer in answers]
    assert len(set(numbers)) == 1000
    told = [ended(forge, number) for number in numbers[::100]] + [ended(forge, numbers[-1])]
    assert {one["outcome"]["state"] for one in told} == {"done"}
    assert forge.version("tasks") == version
    assert asked_by_webhooks(forge, since=before) <= 2 + reasons_for_more(moments)
    assert all(receipt["sync"] for receipt in listed(forge, 1000))
    assert resident(control.pid) - memory < 40 * 2**20


def reasons_for_more(moments: list[float]) -> int:
    """A machine that is slow enough sends no burst: it pauses, or is not done when the server has waited enough."""
    pauses = sum(later - earlier > 0.2 for earlier, later in pairwise(sorted(moments)))
    return pauses + int((max(moments) - min(moments)) // GATHERING)


def test_a_webhook_during_a_sync_is_answered_at_once_and_causes_the_next(forge: Platform, brake: Path) -> None:
    forge.commit(router("sluggish", SLOW.format(brake=brake)))
    first = post(forge, fresh()).json()["receipt"]
    eventually(lambda: (receipt(forge, first)["outcome"] or {}).get("state") == "running", what="the sync")
    forge.commit(service("tasks", version := uuid4().hex))
    second = post(forge, fresh()).json()["receipt"]
    assert receipt(forge, first)["outcome"]["state"] == "running", "nobody waited for its end"
    eventually(lambda: forge.version("tasks") == version, within=30, what="the commit, although another one starts")
    brake.unlink()
    assert ended(forge, second)["outcome"]["state"] == "done"
    assert ended(forge, first)["sync"] != receipt(forge, second)["sync"]


def test_a_body_too_large_is_turned_away_while_it_arrives(forge: Platform) -> None:
    control = forge.process("control")
    memory = resident(control.pid)

    def without_end() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 2**20

    hook = webhooks.gitea()
    try:
        assert forge.control.post(hook.path, content=without_end(), headers=hook.headers).status_code == 413
    except httpx.TransportError:
        """It hung up before we had finished."""
    assert resident(control.pid) - memory < 64 * 2**20
    assert post(forge, hook).status_code in (200, 202)


def test_what_was_answered_is_done_also_when_control_is_killed_right_after(platform: Platform) -> None:
    platform.variables = {"RECONCILER_WEBHOOK_GITHUB_SECRET": SECRET}
    platform.commit({"services.yaml": PLATFORM, **service("tasks")})
    platform.start()
    off = post(platform, webhooks.gitea())
    assert off.status_code == 404 and "RECONCILER_WEBHOOK_GITEA_SECRET" in off.text

    platform.commit(service("tasks", "announced"))
    control = platform.process("control")
    answer = post(platform, fresh())
    control.kill()
    assert answer.status_code == 202
    told = eventually(lambda: ended(platform, answer.json()["receipt"]), within=40)
    assert told["outcome"]["state"] == "done", told
    assert platform.version("tasks") == "announced"
    assert SECRET not in str(platform.service("tasks")) + platform.said()


def test_a_secret_too_short_is_one_clear_line(platform: Platform) -> None:
    platform.variables = {"RECONCILER_WEBHOOK_GITHUB_SECRET": "hunter2"}
    platform.commit({"services.yaml": PLATFORM, **service("tasks")})
    assert platform.begin().wait(60) == 2
    assert "RECONCILER_WEBHOOK_GITHUB_SECRET: a secret has 16 characters at least" in platform.said()
    assert "hunter2" not in platform.said()
