"""What a service prints is kept, and found again by service, release and request."""

import json
import subprocess

from tests.end_to_end.platform import COMMAND, Platform, command, environ
from tests.end_to_end.samples import service
from tests.waiting import until_sync

TALKATIVE = """

import logging
import sys

log = logging.getLogger("shop")


@router.get("/buy/{what}")
async def buy(what: str):
    print(f"printed {what}")
    print(f"complained about {what}", file=sys.stderr)
    log.warning("logged %s", what)
    return {"bought": what}


@router.get("/flood")
async def flood(lines: int):
    for n in range(lines):
        print("x" * 200, n)
    return {"version": VERSION}
"""


def logs(platform: Platform, *words: str) -> str:
    done = command("logs", *words, data=platform.data)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_prints_and_logs_are_kept_with_their_release_and_request(shared: Platform) -> None:
    shared.deploy(service("shop", also=TALKATIVE))
    for number in (1, 2):
        shared.services.get(f"/api/shop/buy/item{number}", headers={"X-Request-Id": f"request-{number}"})
    until_sync(lambda: "logged item2" in logs(shared, "shop"), what="the lines")
    everything = logs(shared, "shop")
    for line in ("printed item1", "complained about item1", "logged item1", "printed item2"):
        assert line in everything
    only = logs(shared, "shop", "--request", "request-2")
    assert "printed item2" in only and "item1" not in only
    assert "item1" not in logs(shared, "steady")


def test_following_shows_a_line_as_it_is_printed(shared: Platform) -> None:
    shared.deploy(service("followed", also=TALKATIVE))
    words = [*COMMAND, "logs", "followed", "-f", "--data", str(shared.data)]
    with subprocess.Popen(words, env=environ(), stdout=subprocess.PIPE, text=True) as follower:
        try:
            assert follower.stdout is not None
            shared.services.get("/api/followed/buy/bread")
            assert any("printed bread" in line for line in follower.stdout)
        finally:
            follower.terminate()


def test_the_lines_of_a_release_that_failed_are_kept(shared: Platform) -> None:
    shared.deploy(service("failing", also="print('these were my last words')\nraise SystemExit(1)\n"))
    until_sync(lambda: "these were my last words" in logs(shared, "failing"), what="its last words")


def test_a_flood_stays_within_bounds_and_blocks_nobody(shared: Platform) -> None:
    shared.deploy(service("flooding", also=TALKATIVE))
    assert shared.services.get("/api/flooding/flood", params={"lines": 100_000}, timeout=60).status_code == 200
    assert shared.version("steady") == "1"
    until_sync(
        lambda: "lines dropped" in logs(shared, "flooding", "--level", "warning"), what="the count of what is lost"
    )
    kept = sum(path.stat().st_size for path in (shared.data / "logs" / "flooding").iterdir())
    assert kept < 40_000_000


def test_the_platform_says_what_it_did_in_the_same_words(shared: Platform) -> None:
    shared.deploy(service("told"))
    sync = json.loads(logs(shared, "told", "--platform", "--json").splitlines()[0])["sync"]
    said = [json.loads(line) for line in logs(shared, "--sync", sync, "--json").splitlines()]
    assert ("told", "told-1", "INFO") in [(line["service"], line["release"], line["level"]) for line in said]
    assert {line["process"] for line in said} == {"control"}
    everything = [json.loads(line) for line in logs(shared, "--limit", "10000", "--json").splitlines()]
    assert {line["process"] for line in everything} >= {"control", "supervisor"}
    assert any(line["message"].startswith("listening") for line in everything)
    assert not any("sign-in" in line["message"] for line in everything), "a way in is not kept"


def test_what_a_sync_holds_takes_up_again_and_removes_is_told_under_its_number(shared: Platform) -> None:
    shared.deploy(service("moody"))
    held = shared.deploy(service("moody", manifest="requirments: [six]\n"))["id"]
    failed = shared.deploy(service("moody", also="import does_not_exist\n"))["id"]
    mended = shared.deploy(service("moody"))["id"]
    removed = shared.deploy(dict.fromkeys(service("moody")))["id"]
    events = shared.control.get("/v1/events/newest", params={"limit": 100}).json()["items"]
    assert [(event["kind"], event["sync"]) for event in events if event["service"] == "moody"][1:] == [
        ("ServiceHeld", held),
        ("ReleaseFailed", failed),
        ("ServiceRecovered", mended),
        ("ServiceRemoved", removed),
    ]
    (line,) = (json.loads(line) for line in logs(shared, "--sync", held, "--json").splitlines())
    assert line["level"] == "WARNING"
    assert line["message"].startswith("services/moody/service.yaml:2:1: there is no field `requirments`")
    said = logs(shared, "--sync", failed, "--level", "warning")
    assert "No module named 'does_not_exist'" in said
    assert "at=services/moody/router.py:" in said
    assert "removed" in logs(shared, "--sync", removed)


def test_a_request_to_the_control_plane_is_named_by_its_client_or_gets_a_name(shared: Platform) -> None:
    named = shared.control.get("/v1/status", headers={"X-Request-Id": "asked-1"})
    assert named.headers["x-request-id"] == "asked-1"
    assert len(shared.control.get("/healthz", headers={"X-Request-Id": "no good"}).headers["x-request-id"]) == 32
