"""The index, the disk, uv and we ourselves fail: what is waited for, and what is left behind."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from reconciler.environment import Environments
from reconciler.environment.command import Bounds
from reconciler.environment.uv import Uv
from reconciler.model.failure import Reason, Stalled, Wait
from reconciler.model.requirement import from_list
from tests.environment.conftest import Make
from tests.environment.processes import processes
from tests.environment.wheels import Answer, PackageIndex, garbage, status, truncated
from tests.waiting import until, until_sync

ALPHA = "alpha-2.0-py3-none-any.whl"
LONG = 30.0


def waits(environments: Environments) -> Wait:
    async def scenario() -> None:
        await environments.open()
        await environments.build(await environments.lock(from_list(["alpha"])))

    with pytest.raises(Wait) as failed:
        asyncio.run(scenario())
    assert failed.value.reason is Reason.REQUIREMENTS_FAILED
    assert failed.value.after
    return failed.value


BROKEN: dict[str, tuple[str, Answer]] = {
    "the index answers 503": ("/simple/alpha/", status(503)),
    "the index answers 500": ("/simple/alpha/", status(500)),
    "the index answers 429": ("/simple/alpha/", status(429)),
    "the index wants a password": ("/simple/alpha/", status(401)),
    "the index forbids": ("/simple/alpha/", status(403)),
    "the wheel answers 503": (ALPHA, status(503)),
    "the wheel is cut short": (ALPHA, truncated),
    "the wheel is a sign-in page": (ALPHA, garbage),
}


@pytest.mark.parametrize(("path", "answer"), BROKEN.values(), ids=BROKEN.keys())
def test_an_index_in_trouble_is_waited_for(
    make: Make, index: PackageIndex, tmp_path: Path, path: str, answer: Answer
) -> None:
    """Row D-13."""
    index.instead[path] = answer
    failure = waits(make(indexes=(index.url,)))
    assert failure.problems[0].code == "index-unavailable"
    assert list((tmp_path / "data" / "environments").iterdir()) == []


def test_an_index_that_is_down_is_waited_for_without_telling_its_password(make: Make) -> None:
    failure = waits(make(indexes=("http://user:hunter2@127.0.0.1:9/simple",)))
    assert failure.problems[0].code == "index-unavailable"
    assert "Connection refused" in (failure.detail or "")
    assert "hunter2" not in f"{failure.message}{failure.detail}{failure.problems}"


def test_an_index_that_stumbles_once_is_asked_again(make: Make, index: PackageIndex) -> None:
    def once(handler: object) -> None:
        del index.instead["/simple/alpha/"]
        status(503)(handler)  # type: ignore[arg-type]

    async def scenario() -> None:
        index.instead["/simple/alpha/"] = once
        environments = make(indexes=(index.url,), retries=1)
        await environments.open()
        assert (await environments.lock(from_list(["alpha"]))).packages["alpha"] == "2.0"

    asyncio.run(scenario())


def test_an_index_that_never_answers_is_given_up_in_time(make: Make, index: PackageIndex) -> None:
    index.instead["/simple/alpha/"] = index.stall
    failure = waits(make(indexes=(index.url,), bounds=Bounds(seconds=0.5)))
    assert failure.problems[0].code == "timed-out"
    assert not uvs()


def test_a_file_that_is_not_what_its_hash_promises_is_refused(make: Make, index: PackageIndex, tmp_path: Path) -> None:
    """Row D-06: between the lock and the install, somebody replaced the wheel."""

    async def scenario() -> None:
        environments = make(indexes=(index.url,))
        await environments.open()
        lock = await environments.lock(from_list(["alpha"]))
        other = (index.folder / "alpha-1.0-py3-none-any.whl").read_bytes()
        (index.folder / ALPHA).write_bytes(other)
        with pytest.raises(Stalled) as failed:
            await environments.build(lock)
        assert failed.value.problems[0].code == "hash-mismatch"
        assert "Computed" in (failed.value.detail or "")
        assert list((tmp_path / "data" / "environments").iterdir()) == []

    asyncio.run(scenario())


def test_what_is_locked_and_cached_installs_without_the_index(make: Make, index: PackageIndex) -> None:
    async def scenario() -> None:
        environments = make(indexes=(index.url,))
        await environments.open()
        lock = await environments.lock(from_list(["alpha"]))
        await environments.build(lock)
        await environments.collect(lambda one: False)
        index.instead["/"] = index.instead["whl"] = index.instead["metadata"] = status(503)
        restarted = make(indexes=(index.url,))
        await restarted.open()
        assert (await restarted.build(await restarted.lock(from_list(["alpha"])))).python.exists()

    asyncio.run(scenario())


def test_neither_our_environment_nor_a_folder_redirects_uv(
    make: Make, index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := tmp_path / "service").mkdir()
    (folder / "uv.toml").write_text(f'index-url = "{index.url}"\n')
    (folder / "pyproject.toml").write_text(f'[tool.uv]\nindex-url = "{index.url}"\n')
    monkeypatch.chdir(folder)
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_FIND_LINKS", "UV_CONFIG_FILE"):
        monkeypatch.setenv(name, index.url)

    async def scenario() -> None:
        environments = make()
        await environments.open()
        await environments.build(await environments.lock(from_list(["alpha"])))

    asyncio.run(scenario())
    assert index.requested == []


def test_a_uv_that_is_missing_stops_only_what_needs_it(make: Make, tmp_path: Path) -> None:
    """Row D-17."""

    async def built() -> None:
        environments = make()
        await environments.open()
        await environments.build(await environments.lock(from_list(["alpha"])))

    asyncio.run(built())
    without = make(uv=tmp_path / "nowhere")
    failure = waits(make(tmp_path / "other", uv=tmp_path / "nowhere"))
    assert failure.problems[0].code == "uv-unusable"

    async def goes_on() -> None:
        await without.open()
        assert (await without.build(await without.lock(from_list(["alpha"])))).python.exists()

    asyncio.run(goes_on())


UNUSABLE = {
    "not executable": (b"#!/bin/sh\n", 0o644, "uv-unusable"),
    "for another machine": (b"#!/nowhere/sh\n", 0o755, "uv-unusable"),
    "not a program": (b"\x00\x01\x02", 0o755, "uv-failed"),
    "something else": (b"#!/bin/sh\nexit 7\n", 0o755, "uv-failed"),
}


@pytest.mark.parametrize(("content", "mode", "code"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_uv_that_cannot_run_says_so(make: Make, tmp_path: Path, content: bytes, mode: int, code: str) -> None:
    program = tmp_path / "uv"
    program.write_bytes(content)
    program.chmod(mode)
    assert waits(make(uv=program)).problems[0].code == code


def test_a_uv_that_floods_is_bounded(make: Make, tmp_path: Path) -> None:
    failure = waits(make(uv=script(tmp_path, "head -c 30000000 /dev/zero | tr '\\0' x >&2; exit 2")))
    assert failure.problems[0].code == "uv-failed"
    assert len(failure.detail or "") <= 2_000


def test_a_uv_that_was_killed_is_tried_once_more(make: Make, tmp_path: Path) -> None:
    """Killed the first time, real the second."""
    ours = Uv(tmp_path).find()
    count = tmp_path / "count"
    flaky = script(tmp_path, f'echo >> {count}; [ $(wc -l < {count}) = 1 ] && kill -9 $$; exec {ours} "$@"')

    async def scenario() -> None:
        environments = make(uv=flaky)
        await environments.open()
        assert (await environments.lock(from_list(["alpha"]))).packages["alpha"] == "2.0"

    asyncio.run(scenario())


def test_a_uv_that_is_killed_again_is_waited_for(make: Make, tmp_path: Path) -> None:
    assert waits(make(uv=script(tmp_path, "kill -9 $$"))).problems[0].code == "uv-killed"


def script(folder: Path, text: str) -> Path:
    path = folder / "uv"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def uvs(parent: int = os.getpid()) -> list[int]:
    return [pid for pid, (name, above) in processes().items() if name == "uv" and above == parent]


def test_uv_killed_in_the_middle_of_an_install_leaves_nothing_half(make: Make, index: PackageIndex) -> None:
    """Row D-15, first half."""

    async def scenario() -> None:
        environments = make(indexes=(index.url,))
        await environments.open()
        lock = await environments.lock(from_list(["alpha"]))
        index.instead[ALPHA] = index.stall
        building = asyncio.create_task(environments.build(lock))
        await until(lambda: f"/files/{ALPHA}" in index.requested, within=LONG, what="the install to be under way")
        (pid,) = uvs()
        os.kill(pid, signal.SIGKILL)
        index.gate.set()
        environment = await building
        assert (environment.folder / "lib").exists()

    asyncio.run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_we_ourselves_killed_in_the_middle_of_an_install(make: Make, index: PackageIndex, tmp_path: Path) -> None:
    """Row D-15, second half: uv goes with us, and the next start removes the rest and does it again."""
    index.instead[ALPHA] = index.stall
    data = tmp_path / "data"
    program = f"""
        import asyncio
        from pathlib import Path
        from tests.environment.conftest import BASE
        from reconciler.environment import Environments
        from reconciler.model.requirement import from_list

        async def scenario():
            environments = Environments(Path({str(data)!r}), indexes=({index.url!r},), base=BASE)
            await environments.open()
            await environments.build(await environments.lock(from_list(["alpha"])))

        asyncio.run(scenario())
    """
    control = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)])
    until_sync(lambda: f"/files/{ALPHA}" in index.requested, within=LONG, what="the install to be under way")
    (pid,) = uvs(control.pid)
    control.kill()
    control.wait()
    until_sync(lambda: pid not in processes(), within=LONG, what="uv to be gone")
    assert [path.suffix for path in (data / "environments").iterdir()] == [".tmp"]
    index.gate.set()

    async def next_start() -> None:
        environments = make(indexes=(index.url,))
        await environments.open()
        assert list((data / "environments").iterdir()) == []
        assert (await environments.build(await environments.lock(from_list(["alpha"])))).python.exists()

    asyncio.run(next_start())


def test_closing_ends_what_is_under_way(make: Make, index: PackageIndex, tmp_path: Path) -> None:
    async def scenario() -> None:
        environments = make(indexes=(index.url,))
        await environments.open()
        lock = await environments.lock(from_list(["alpha"]))
        index.instead[ALPHA] = index.stall
        building = asyncio.create_task(environments.build(lock))
        await until(lambda: f"/files/{ALPHA}" in index.requested, within=LONG, what="the install to be under way")
        await environments.close()
        assert not uvs()
        await asyncio.wait({building})
        assert building.cancelled()
        assert list((tmp_path / "data" / "environments").iterdir()) == []

    asyncio.run(scenario())
