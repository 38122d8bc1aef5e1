"""Orders that meet: a commit while another is being followed, a signal in the middle, a change taken back.

Services are held exactly where a test wants them by a file that their import waits for, and a switch by a
gateway that is stopped; so nothing here depends on who is faster.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.end_to_end.orders import (
    UNWATCHED,
    ask,
    begin_switch,
    check_that_all_is_gone,
    doing,
    end_of,
    gateway_that_does_not_answer,
    is_held,
    live,
    serves,
)
from tests.end_to_end.platform import Platform, Told, eventually
from tests.end_to_end.processes import is_alive
from tests.end_to_end.samples import PLATFORM, held_by, service
from tests.waiting import until_sync

# Syncs that overlap


def test_a_service_that_is_put_back_during_an_older_sync_stays_known(platform: Platform, brake: Path) -> None:
    platform.commit({"services.yaml": UNWATCHED, **service("boomerang"), **service("steady")})
    platform.start()
    platform.commit({"services/boomerang": None, **service("slow", also=held_by(brake))})
    older = ask(platform)
    eventually(lambda: is_held(platform, "slow"), what="a start under way")
    eventually(lambda: platform.version("boomerang") == 404, what="the removal")
    platform.commit(service("boomerang", "2"))
    newer = ask(platform)
    eventually(lambda: platform.version("boomerang") == "2", what="the service, put back")
    brake.unlink()
    assert (end_of(platform, older)["state"], end_of(platform, newer)["state"]) == ("done", "done")
    assert platform.condition("boomerang")["status"] == "True"
    platform.deploy(service("boomerang", "3"))
    serves(platform, "boomerang", "3")
    eventually(lambda: len(platform.forked()) == 3, what="one worker per service, and none that is forgotten")
    check_that_all_is_gone(platform)


def test_a_commit_that_is_taken_back_during_the_switch_ends_as_git_says(shared: Platform) -> None:
    shared.deploy(service("fickle"))
    with gateway_that_does_not_answer(shared):
        older = begin_switch(shared, "fickle", service("fickle", "2"))
        sha = shared.commit(service("fickle", "1"))
        newer = ask(shared)
        eventually(lambda: sha in (shared.status()["revision_attempted"] or ""), what="a look at the newer commit")
    end_of(shared, older)
    end_of(shared, newer)
    eventually(lambda: shared.version("fickle") == "1", what="what git says")
    ready = eventually(lambda: settled(shared, "fickle"), what="Ready")
    assert ready["status"] == "True"
    shared.sync()
    assert shared.version("fickle") == "1"


def settled(platform: Platform, name: str) -> Told:
    return {} if platform.condition(name, "Syncing") else platform.condition(name)


def test_services_that_hang_at_start_do_not_hold_up_a_good_one(shared: Platform, brake: Path) -> None:
    slots = 2 * (os.cpu_count() or 2)
    manifest = "timeout: {start: 60s}\n"
    names = [f"hang-{number}" for number in range(slots + 1)]
    files = {
        path: text for name in names for path, text in service(name, also=held_by(brake), manifest=manifest).items()
    }
    shared.commit({**files, **service("well")})
    sync = ask(shared)
    eventually(lambda: shared.version("well") == "1", within=45, what="the good one")
    assert {shared.version(name) for name in names} == {503}
    brake.unlink()
    assert end_of(shared, sync)["state"] == "done"
    shared.deploy({f"services/{name}": None for name in names})


# What a service waits for


def test_a_dependent_waits_for_what_it_depends_on(shared: Platform, brake: Path) -> None:
    def both(base: Mapping[str, str], version: str) -> Mapping[str, str]:
        return {**base, **service("atop", version, manifest="depends_on: [base]\n")}

    shared.deploy(both(service("base"), "1"))
    assert shared.version("atop") == "1"

    shared.commit(both(service("base", "2", also=held_by(brake)), "2"))
    sync = ask(shared)
    eventually(lambda: doing(shared, "atop") == "waiting for base" and is_held(shared, "base"), what="the wait")
    assert (shared.version("base"), shared.version("atop")) == ("1", "1")
    brake.unlink()
    assert end_of(shared, sync)["state"] == "done"
    serves(shared, "base", "2")
    serves(shared, "atop", "2")

    shared.deploy(both(service("base", "3", also="\nimport does_not_exist\n"), "3"))
    assert shared.condition("atop")["reason"] == "DependencyNotReady"
    told = shared.sync()
    assert told["state"] == "failed"
    assert shared.condition("atop")["reason"] == "DependencyNotReady", "however often somebody asks"
    assert (shared.version("base"), shared.version("atop")) == ("2", "2")

    shared.deploy(service("base", "4"))
    serves(shared, "base", "4")
    serves(shared, "atop", "3")
    assert shared.condition("atop")["status"] == "True"


def test_a_dependency_that_a_person_suspended_keeps_nobody_waiting(shared: Platform) -> None:
    atop = {"manifest": "depends_on: [paused]\n"}
    shared.deploy({**service("paused"), **service("goes-on", **atop)})
    shared.control.post("/v1/services/paused/suspend").raise_for_status()
    told = shared.deploy({**service("paused", "2"), **service("goes-on", "2", **atop)})
    assert told["state"] == "done", told
    assert (shared.version("paused"), shared.version("goes-on")) == ("1", "2")
    shared.control.post("/v1/services/paused/resume").raise_for_status()


# What goes


def test_a_listing_without_services_unmounts_only_when_that_is_meant(platform: Platform) -> None:
    platform.commit({"services.yaml": PLATFORM, **service("one"), **service("two")})
    platform.start()
    refused = platform.deploy({"services": None})
    assert refused["state"] == "failed"
    assert "allow_empty" in refused["message"]
    assert (platform.version("one"), platform.version("two")) == ("1", "1")
    meant = platform.deploy({"services.yaml": PLATFORM + "prune: {allow_empty: true}\n"})
    assert meant["state"] == "done"
    assert {action["verb"] for action in meant["actions"]} == {"remove"}
    assert (platform.version("one"), platform.version("two")) == (404, 404)
    assert platform.status()["services"] == 0


LAZY = """

@router.get("/lazy")
async def lazy(until: str):
    from pathlib import Path

    async def parts():
        yield "begun\\n"
        while Path(until).exists():
            await asyncio.sleep(0.01)
        import notes
        yield notes.SAID

    return StreamingResponse(parts())
"""


def test_what_a_removed_service_began_is_finished_out_of_its_own_files(shared: Platform, brake: Path) -> None:
    manifest = "requirements: [six==1.15.0]\ndrain: 30s\n"
    notes = {"services/leaving/notes.py": 'import six\n\nSAID = f"with six {six.__version__}"\n'}
    shared.deploy({**service("leaving", also=LAZY, manifest=manifest), **notes})
    folder = shared.data / "releases" / "leaving"
    environment = shared.data / "environments" / shared.service("leaving")["environment"]["id"]
    with shared.services.stream("GET", "/api/leaving/lazy", params={"until": str(brake)}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "begun"
        shared.deploy({"services/leaving": None})
        assert shared.version("leaving") == 404
        shared.deploy(service("passer-by", "1"))
        shared.deploy(service("passer-by", "2"))
        brake.unlink()
        assert list(lines) == ["with six 1.15.0"]
    eventually(lambda: not folder.exists() or not any(folder.iterdir()), what="the end of its folder")
    eventually(lambda: not environment.exists(), what="the end of its environment")


# Going back, and forward again


def test_what_was_rolled_back_is_tried_again_when_somebody_asks(shared: Platform) -> None:
    watched = "watch_window: 30s\n"
    dies = "\n\n@router.get('/die')\nasync def die():\n    os._exit(1)\n"
    shared.deploy(service("second-chance", manifest=watched))
    shared.deploy(service("second-chance", "2", also=dies, manifest=watched))
    with contextlib.suppress(httpx.TransportError):
        shared.services.get("/api/second-chance/die")
    eventually(lambda: shared.version("second-chance") == "1", what="the previous release")
    shared.sync()
    assert shared.version("second-chance") == "1"
    end_of(shared, ask(shared, retry="true"))
    serves(shared, "second-chance", "2")
    assert not shared.condition("second-chance", "RolledBack")
    assert shared.condition("second-chance")["status"] == "True"


SHY = """

    asked = 0


    @router.get("/shy")
    async def shy():
        '''Well in private; in public a failure, after which the gateway says nothing more.'''
        global asked
        asked += 1
        if asked == 1:
            return {{"version": VERSION}}
        import pathlib, signal
        pathlib.Path("{witness}").write_text(str(os.getpid()))
        os.kill({gateway}, signal.SIGSTOP)
        raise RuntimeError("not in public")
"""
ASKS_SHY = "version: 1\ncases: [{name: is shy, GET: /shy, expect: {status: 200}}]\n"


def test_a_commit_during_the_way_back_leaves_no_release_half_gone(shared: Platform, tmp_path: Path) -> None:
    watched = "watch_window: 30s\n"
    shared.deploy(service("shy", manifest=watched))
    first, witness = live(shared, "shy"), tmp_path / "witness"
    with gateway_that_does_not_answer(shared, stopped=False) as gateway:
        bad = service("shy", "2", also=SHY.format(witness=witness, gateway=gateway.pid), manifest=watched)
        shared.commit({**bad, "services/shy/tests.yaml": ASKS_SHY})
        older = ask(shared)
        eventually(lambda: witness.exists() and live(shared, "shy") == first, what="the way back")
        sha = shared.commit({**service("shy", "3", manifest=watched), "services/shy/tests.yaml": None})
        newer = ask(shared)
        eventually(lambda: sha in (shared.status()["revision_attempted"] or ""), what="a look at the newer commit")
    end_of(shared, older)
    assert end_of(shared, newer)["state"] == "done"
    serves(shared, "shy", "3")
    until_sync(lambda: not is_alive(int(witness.read_text())), what="the end of the bad release")


# What is said


def test_control_says_the_same_after_it_was_killed(shared: Platform) -> None:
    shared.deploy(service("told"))
    shared.deploy(service("told", "2"))
    before = shared.service("told")
    shared.kill("control")
    eventually(lambda: shared.control.get("/readyz").status_code == 200, within=20, what="control")
    after = shared.service("told")
    assert shared.condition("told")["status"] == "True"
    assert after["candidate"] is None
    assert after["live"]["id"] == before["live"]["id"]
    for field in ("revision_attempted", "revision_applied", "revision_changed", "conditions", "events"):
        assert after[field] == before[field], field
    assert [worker["pid"] for worker in after["workers"]] == [worker["pid"] for worker in before["workers"]]


def test_a_service_that_commits_do_not_touch_follows_them_all_the_same(shared: Platform) -> None:
    shared.deploy(service("aside"))
    first = shared.service("aside")["revision_changed"]
    for number in range(10):
        shared.deploy(service("busy", str(number)))
    newest = shared.repository.git("rev-parse", "HEAD")
    told = shared.service("aside")
    assert newest in told["revision_attempted"]
    assert told["revision_applied"] == told["revision_attempted"] == shared.service("busy")["revision_applied"]
    assert told["revision_changed"] == first


# SIGTERM in the middle


def test_a_signal_while_a_release_is_prepared_ends_everything(platform: Platform, brake: Path) -> None:
    platform.commit({"services.yaml": PLATFORM, **service("tasks")})
    platform.start()
    platform.commit({**service("tasks", "2", also=held_by(brake)), **service("new", also=held_by(brake))})
    ask(platform)
    eventually(lambda: is_held(platform, "tasks") and is_held(platform, "new"), what="starts under way")
    check_that_all_is_gone(platform)


def test_a_signal_during_a_switch_ends_everything(platform: Platform) -> None:
    platform.commit({"services.yaml": PLATFORM, **service("tasks")})
    platform.start()
    with gateway_that_does_not_answer(platform):
        begin_switch(platform, "tasks", service("tasks", "2"))
        assert platform.server is not None
        platform.server.terminate()
        until_sync(lambda: "stopping" in platform.said(), what="the signal")
    check_that_all_is_gone(platform, signalled=True)
