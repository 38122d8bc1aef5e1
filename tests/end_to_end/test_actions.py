"""What a person asks of one service, and when exactly its suite is played."""

import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import pytest

from tests.end_to_end.platform import Platform, Told, command, eventually
from tests.end_to_end.samples import service
from tests.end_to_end.test_gate import expects_version, suite
from tests.end_to_end.traffic import Traffic

WINDOW = "watch_window: 30s\n"
NO_WINDOW = "watch_window: 0s\n"
DOOR = dedent(
    """

    played = 0


    @router.post("/played")
    async def how_often():
        global played
        played += 1
        return {"version": VERSION, "played": played}


    @router.get("/asked")
    async def asked():
        return {"version": VERSION, "asked": played}
    """
)
"""Counts how often its suite was played; no case of it can go through the public door."""
COUNTED = """
version: 1
cases:
  - name: counts
    POST: /played
    expect: {status: 200}
    capture: {played: $.played}
  - name: uses what it captured
    GET: /version?after=${played}
    expect: {status: 200}
"""


def act(platform: Platform, name: str, action: str, **wish: str) -> Told:
    answer = platform.control.post(f"/v1/services/{name}/{action}", json=wish or None)
    assert answer.status_code == 200, answer.text
    told: Told = answer.json()
    return told


def refused(platform: Platform, name: str, action: str, **wish: str) -> tuple[int, str]:
    answer = platform.control.post(f"/v1/services/{name}/{action}", json=wish or None)
    return answer.status_code, answer.json()["detail"]


def release(platform: Platform, name: str) -> str:
    return str(platform.service(name)["live"]["id"])


def counted(name: str, version: str = "1", manifest: str = "") -> dict[str, str]:
    return {**service(name, version, also=DOOR, manifest=manifest), **suite(name, COUNTED)}


def asked(platform: Platform, name: str) -> int:
    return int(platform.services.get(f"/api/{name}/asked").json()["asked"])


# Going back


def test_a_rollback_takes_milliseconds_while_the_release_before_is_parked(shared: Platform) -> None:
    workers = []
    for version in "12":
        shared.deploy({**service("parked", version, manifest=WINDOW), **expects_version("parked", version)})
        workers.append(shared.worker("parked"))
    with Traffic(shared.port, ["/api/parked", "/api/steady"]) as traffic:
        taken = act(shared, "parked", "rollback")
        assert shared.version("parked") == "1"
    assert traffic.tally.lost == 0, str(traffic.tally)
    assert (taken["changed"], taken["release"]) == (True, "parked-1")
    assert shared.worker("parked") == workers[0], "nobody was started for it"
    told = shared.condition("parked", "RolledBack")
    assert (told["status"], told["reason"]) == ("True", "Requested")
    assert "admin rolled back from parked-2 to parked-1" in told["message"].lower()
    assert shared.condition("parked")["status"] == "True"
    assert not act(shared, "parked", "rollback")["changed"], "asking twice is asking once"
    assert shared.sync()["state"] == "done"
    assert shared.version("parked") == "1", "it holds"
    shared.deploy({**service("parked", "3", manifest=WINDOW), **expects_version("parked", "3")})
    assert shared.version("parked") == "3", "a newer digest is tried as ever"
    assert not shared.condition("parked", "RolledBack")


def test_a_rollback_without_a_parked_release_starts_it_again(shared: Platform) -> None:
    for version in "123":
        shared.deploy(counted("further", version, NO_WINDOW))
    with Traffic(shared.port, ["/api/further"]) as traffic:
        act(shared, "further", "rollback")
        assert (shared.version("further"), asked(shared, "further")) == ("2", 0), "no suite is played"
        act(shared, "further", "rollback", to="further-1")
        assert shared.version("further") == "1"
    assert traffic.tally.lost == 0, str(traffic.tally)
    taken = act(shared, "further", "resume")
    assert taken["changed"]
    eventually(lambda: shared.version("further") == "3", what="what git asks for")
    assert not shared.condition("further", "RolledBack")
    assert release(shared, "further") == "further-4"


def test_git_going_back_ends_the_hold(shared: Platform) -> None:
    for version in "12":
        shared.deploy(service("agrees", version, manifest=WINDOW))
    act(shared, "agrees", "rollback")
    shared.deploy(service("agrees", "1", manifest=WINDOW))
    assert not shared.condition("agrees", "RolledBack")
    shared.deploy(service("agrees", "2", manifest=WINDOW))
    assert shared.version("agrees") == "2"


def test_what_cannot_be_done_is_said(shared: Platform) -> None:
    shared.deploy(service("only"))
    assert refused(shared, "nobody", "restart") == (404, "there is no service nobody")
    assert refused(shared, "only", "rollback")[0] == 409
    assert refused(shared, "only", "rollback", to="only-99") == (404, "only has no release only-99")
    assert refused(shared, "only", "rollback", to="steady-1")[0] == 404
    assert refused(shared, "only", "rollback", too="only-1")[0] == 422
    shared.deploy({**service("only", "2"), **expects_version("only", "wrong")})
    status, why = refused(shared, "only", "rollback", to="only-2")
    assert status == 409 and "never served" in why


# Being left alone, and started afresh


def test_a_suspended_service_is_passed_by_until_it_is_resumed(shared: Platform) -> None:
    shared.deploy(service("quiet"))
    assert act(shared, "quiet", "suspend")["changed"]
    assert not act(shared, "quiet", "suspend")["changed"]
    assert shared.deploy(service("quiet", "2"))["state"] == "done"
    assert shared.version("quiet") == "1"
    told = shared.condition("quiet", "Suspended")
    assert (told["reason"], "admin" in told["message"]) == ("Requested", True)
    act(shared, "quiet", "resume")
    eventually(lambda: shared.version("quiet") == "2", what="what git asks for")
    assert not shared.condition("quiet", "Suspended")
    assert not act(shared, "quiet", "resume")["changed"]


def test_a_suspended_service_outlives_its_folder(shared: Platform) -> None:
    shared.deploy(service("kept"))
    act(shared, "kept", "suspend")
    shared.commit({"services/kept/router.py": None, "services/kept/service.yaml": None})
    shared.sync()
    assert shared.version("kept") == "1"
    act(shared, "kept", "resume")
    eventually(lambda: shared.version("kept") == 404, what="its removal")


def test_a_restart_gives_new_workers_and_loses_nothing(shared: Platform) -> None:
    shared.deploy(counted("fresh"))
    before = shared.worker("fresh")
    with Traffic(shared.port, ["/api/fresh", "/api/steady"]) as traffic:
        act(shared, "fresh", "restart")
        act(shared, "fresh", "restart")
    assert traffic.tally.lost == 0, str(traffic.tally)
    assert shared.worker("fresh") != before
    assert release(shared, "fresh") == "fresh-1"
    assert asked(shared, "fresh") == 0, "no suite is played"


def test_a_release_is_still_watched_after_a_restart(shared: Platform) -> None:
    bad = "\n\n@router.get('/bad')\nasync def bad():\n    return {}[None]\n"
    shared.deploy(service("watched", manifest=WINDOW))
    shared.deploy(service("watched", "2", also=bad, manifest=WINDOW))
    act(shared, "watched", "restart")
    for _ in range(8):
        shared.services.get("/api/watched/bad")
    eventually(lambda: shared.version("watched") == "1", what="the release before")


def test_restarts_that_hang_hold_up_nobody_else(shared: Platform) -> None:
    flag = shared.folder / "hang"
    waits = f"\n\nimport time\nwhile os.path.exists({str(flag)!r}):\n    time.sleep(0.02)\n"
    names = [f"hanging-{number}" for number in range(2 * (os.cpu_count() or 2))]
    for name in names:
        shared.commit(service(name, also=waits, manifest=NO_WINDOW))
    shared.deploy(service("lively"))
    flag.touch()
    with ThreadPoolExecutor(len(names)) as pool:
        asked = [pool.submit(shared.control.post, f"/v1/services/{name}/restart", timeout=60) for name in names]
        eventually(lambda: workers_of(shared, "hanging-") == 2 * len(names), within=30, what="all to be starting")
        shared.deploy(service("lively", "2"))
        assert not any(one.done() for one in asked), "they hang still"
        assert shared.version("lively") == "2"
        flag.unlink()
        assert {one.result().status_code for one in asked} == {200}


def workers_of(platform: Platform, name: str) -> int:
    """How many were begun of services whose names begin so, also when they are not ready."""
    titles = [Path(f"/proc/{process.pid}/comm") for process in platform.family()]
    return sum(title.exists() and title.read_text().startswith(name) for title in titles)


# When suites run


def test_a_new_digest_is_tested_and_the_verdict_is_told(shared: Platform) -> None:
    shared.deploy(counted("tested"))
    assert asked(shared, "tested") == 1
    told = shared.service("tested")["suite"]
    assert (told["verdict"], told["release"], told["flaky"]) == ("passed", "tested-1", False)
    whole = shared.control.get("/v1/services/tested/suite").json()
    assert [case["name"] for case in whole["suites"][0]["cases"]] == ["counts", "uses what it captured"]
    shared.sync()
    assert asked(shared, "tested") == 1, "nothing changed, nothing is played"


def test_a_failed_digest_is_tested_again_on_request(shared: Platform) -> None:
    shared.deploy(service("retried"))
    shared.deploy({**service("retried", "2"), **expects_version("retried", "3")})
    shared.sync()
    candidates = shared.control.get("/v1/services/retried/releases").json()["total"]
    answer = command("sync", "--wait", "--retry", data=shared.data)
    assert answer.returncode == 1 and "TestsFailed" in answer.stdout
    assert shared.control.get("/v1/services/retried/releases").json()["total"] == candidates + 1
    assert shared.service("retried")["suite"]["verdict"] == "failed"


def test_a_test_asks_what_serves_and_changes_nothing(shared: Platform) -> None:
    shared.deploy(counted("probed"))
    workers = shared.worker("probed")
    done = command("test", "probed", data=shared.data)
    assert (done.returncode, "passed: probed" in done.stdout) == (0, True), done
    assert asked(shared, "probed") == 2
    assert shared.worker("probed") == workers


def test_without_a_gate_the_suite_is_played_after_the_switch(shared: Platform) -> None:
    shared.deploy({**service("ungated", manifest="gate: none\n"), **expects_version("ungated", "other")})
    assert shared.version("ungated") == "1"
    assert shared.service("ungated")["suite"]["verdict"] == "failed"
    assert shared.condition("ungated")["status"] == "True", "it only reports"


def test_a_failing_test_says_how_to_ask_again(shared: Platform) -> None:
    noted = (
        "\n\nimport logging\n\n@router.get('/noted')\nasync def noted():\n    logging.warning('noted %s', VERSION)\n"
    )
    files = {name: text.replace("/version", "/noted") for name, text in expects_version("wrong", "2").items()}
    shared.deploy({**service("wrong", also=noted + "    return await version()\n", manifest="gate: none\n"), **files})
    done = command("test", "wrong", data=shared.data)
    assert done.returncode == 1
    assert "✗ says its version" in done.stdout and "--> services/wrong/tests.yaml:3" in done.stdout
    assert f"curl -i http://127.0.0.1:{shared.port}/api/wrong/noted" in done.stdout
    assert re.search(r"^    log +noted 1$", done.stdout, re.M), "the service's own lines for that request"
    assert shared.version("wrong") == "1" and shared.condition("wrong")["status"] == "True"
    told = json.loads(command("test", "wrong", "--format", "json", data=shared.data).stdout)
    assert told["verdict"] == "failed"


# The public door


def test_what_answers_only_in_private_does_not_keep_the_traffic(shared: Platform) -> None:
    once = dedent(
        """

        asked = 0


        @router.get("/once")
        async def once():
            global asked
            asked += 1
            return {"version": VERSION}["version" if asked == 1 else None]
        """
    )
    case = "version: 1\ncases:\n  - name: answers\n    GET: /once\n    expect: {status: 200}\n"
    shared.deploy(service("shy", manifest=WINDOW))
    told = shared.deploy({**service("shy", "2", also=once, manifest=WINDOW), **suite("shy", case)})
    assert told["state"] == "failed"
    assert shared.version("shy") == "1"
    assert "public door" in shared.condition("shy", "RolledBack")["message"]


# What lasts


@pytest.fixture
def own(platform: Platform) -> Iterator[Platform]:
    platform.commit({"services.yaml": "version: 1\ndefaults: {drain: 5s}\n", **counted("held"), **counted("asleep")})
    yield platform.start()


def test_a_persons_word_and_the_verdict_survive_the_control_plane(own: Platform) -> None:
    own.deploy({**counted("held", "2"), **counted("late")})
    act(own, "held", "rollback")
    act(own, "asleep", "suspend")
    own.deploy(counted("asleep", "2"))
    before = own.service("late")["suite"]
    own.kill("control")
    eventually(own.is_ready, within=20, what="another control")
    assert (own.version("held"), own.version("asleep")) == ("1", "1")
    assert own.condition("held", "RolledBack")["reason"] == "Requested"
    assert own.condition("asleep", "Suspended")["reason"] == "Requested"
    assert own.service("late")["suite"] == before
    assert own.control.get("/v1/services/late/suite").status_code == 200
    assert asked(own, "late") == 1, "what was taken over is not tested again"
    act(own, "held", "resume")
    eventually(lambda: own.version("held") == "2", what="what git asks for")


def test_a_rollback_needs_no_repository(own: Platform) -> None:
    own.deploy(counted("held", "2", NO_WINDOW))
    own.repository.path.rename(own.folder / "away")
    own.sync()
    act(own, "held", "rollback")
    assert own.version("held") == "1"
    assert command("test", "held", data=own.data).returncode == 0


# Pytest files


def test_pytest_files_are_played_in_the_services_own_environment(shared: Platform) -> None:
    asks = dedent(
        """
        import json
        import os
        import urllib.request


        def test_it_says_its_version():
            with urllib.request.urlopen(os.environ["RECONCILER_BASE_URL"] + "/version") as answer:
                assert json.load(answer)["version"] == os.environ["GREETING"]
        """
    )
    manifest = "requirements: [pytest]\ntests: [test_version.py]\nenv: {GREETING: '%s'}\n"

    def files(version: str, expected: str) -> dict[str, str]:
        written = service("slower", version, manifest=manifest % expected)
        return {**written, "services/slower/test_version.py": asks}

    assert shared.deploy(files("1", "1"), within=180)["state"] == "done", shared.service("slower")
    assert shared.service("slower")["suite"]["summary"] == "1 of 1 cases passed"
    assert shared.deploy(files("2", "3"))["state"] == "failed"
    assert shared.version("slower") == "1"
    [problem] = shared.service("slower")["problems"]
    assert problem["file"] == "services/slower/test_version.py"
    assert "test_it_says_its_version" in problem["message"]
    assert command("test", "slower", data=shared.data).returncode == 0
