"""What happened, while it happens and afterwards: events, releases with their commits, and the time each step took."""

import json
from collections.abc import Iterator

import httpx

from tests.end_to_end.platform import Platform, Told
from tests.end_to_end.samples import service
from tests.waiting import until_sync


def events(stream: httpx.Response) -> Iterator[Told]:
    block: dict[str, str] = {}
    for line in stream.iter_lines():
        name, _, value = line.partition(": ")
        if name:
            block[name] = value
        elif "data" in block:
            yield {**json.loads(block["data"]), "number": block.get("id")}
            block = {}
        else:
            block = {}


def heard_until(platform: Platform, kind: str, name: str, after: int) -> list[Told]:
    """Everything from the beginning of the stream to the first of a kind about a service."""
    heard: list[Told] = []
    with platform.control.stream("GET", "/v1/events", params={"after": after}) as stream:
        for event in events(stream):
            heard.append(event)
            if (event["kind"], event["service"]) == (kind, name):
                return heard
    raise AssertionError("the stream ended")


def test_a_reader_follows_a_deployment_and_misses_nothing_when_it_comes_back(shared: Platform) -> None:
    shared.deploy(service("heard"))
    first = heard_until(shared, "ReleaseSwitched", "heard", after=0)
    last = int(first[-1]["number"])
    assert first[-1]["data"] == {} and first[-1]["release"] == "heard-1"

    shared.deploy(service("heard", "2"))
    shared.deploy({"services/heard/router.py": "import nothing_like_it\n"})
    more = heard_until(shared, "ReleaseFailed", "heard", after=last)
    numbers = [int(event["number"]) for event in more]
    assert numbers == list(range(last + 1, last + 1 + len(numbers)))
    told = [event["kind"] for event in more]
    assert told.index("SyncStarted") < told.index("SyncPlanned") < told.index("ReleaseSwitched")
    failed = more[-1]
    assert failed["data"]["reason"] == "ImportFailed"
    assert failed["data"]["problems"][0]["file"] == "services/heard/router.py"


def test_a_release_knows_its_commit_and_how_long_each_step_took(shared: Platform) -> None:
    shared.deploy(service("kept"))
    shared.deploy(service("kept", "2"))

    def told() -> list[Told]:
        items = shared.control.get("/v1/services/kept/releases").json()["items"]
        return list(items) if all(item["commit"] and item["phases"] for item in items) else []

    newest, oldest = until_sync(told, what="both releases with their commits")
    assert newest["commit"]["sha"] == newest["revision"].rpartition(":")[2]
    assert newest["commit"]["author"] and newest["commit"]["subject"]
    assert [phase["name"] for phase in newest["phases"]] == ["environment", "start", "suite", "switch"]
    assert all(phase["service"] == "kept" and phase["seconds"] >= 0 for phase in newest["phases"])
    assert (newest["verdict"], newest["phase"]) == ("passed", "live")

    sync = shared.control.get(f"/v1/syncs/{newest['sync']}").json()
    assert sync["commit"] == newest["commit"]
    assert {phase["name"] for phase in sync["phases"] if phase["service"] == "kept"} == {
        "environment",
        "start",
        "suite",
        "switch",
    }
    detail = shared.control.get("/v1/services/kept/releases/kept-2").json()
    assert detail["packages"]["fastapi"] and detail["routes_at"] == "/api/kept/"
    compared = shared.control.get("/v1/services/kept/compare/kept-1/kept-2").json()
    assert (compared["moved"], compared["packages"]) == (["code"], [])
    assert compared["before"]["id"] == oldest["id"]
    figures = shared.control.get("/v1/services/kept/delivery").json()
    assert (figures["attempts"], figures["deploys"], figures["failure_share"]) == (2, 2, 0)
    assert figures["lead_time"] < 120
    assert shared.control.get("/v1/services/kept/releases/heard-1").status_code == 404
    contract = shared.control.get("/v1/services/kept/openapi.json").json()
    assert any(path.endswith("/version") for path in contract["paths"]), contract["paths"].keys()
