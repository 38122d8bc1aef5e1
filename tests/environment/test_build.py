"""A lock to an environment: shared, isolated, whole or not there at all."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.environment import Environment, Environments
from reconciler.environment.command import Bounds
from reconciler.model.failure import Wait
from reconciler.model.requirement import from_list
from tests.environment.conftest import Make
from tests.environment.processes import processes
from tests.environment.wheels import PackageIndex, wheel
from tests.waiting import until

LONG = 30.0


async def built(environments: Environments, *lines: str) -> Environment:
    await environments.open()
    return await environments.build(await environments.lock(from_list(lines)))


def says(environment: Environment, code: str) -> str:
    done = subprocess.run([environment.python, "-I", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def children(name: str) -> list[int]:
    """Processes of this name that are ours."""
    return [pid for pid, (command, parent) in processes().items() if command == name and parent == os.getpid()]


def there(data: Path) -> list[str]:
    """The names of all environments, and of whatever else lies about beside them."""
    return sorted(path.name for path in (data / "environments").iterdir())


def test_its_python_imports_what_was_required_and_nothing_of_ours(make: Make) -> None:
    async def scenario() -> None:
        environment = await built(make(), "beta")
        assert says(environment, "import alpha, beta, worker; print(alpha.__version__)") == "1.0"
        assert says(environment, "import sys; print(sys.prefix)") == str(environment.folder)
        assert says(environment, "import importlib.util as u; print(u.find_spec('reconciler'))") == "None"

    asyncio.run(scenario())


def test_two_versions_of_a_library_live_side_by_side(make: Make) -> None:
    async def scenario() -> None:
        environments = make()
        await environments.open()
        locks = [await environments.lock(from_list([line])) for line in ("alpha<2", "alpha>=2")]
        old, new = await asyncio.gather(*map(environments.build, locks))
        code = "import alpha; print(alpha.__version__)"
        assert (says(old, code), says(new, code)) == ("1.0", "2.0")

    asyncio.run(scenario())


def test_services_with_the_same_lock_share_one_build_and_all_hear_of_it(make: Make, tmp_path: Path) -> None:
    async def scenario() -> None:
        environments = make()
        await environments.open()
        lock = await environments.lock(from_list(["alpha"]))
        heard: list[list[str]] = [[], [], []]
        environment, *others = await asyncio.gather(*(environments.build(lock, ears.append) for ears in heard))
        assert all(other is environment for other in others)
        assert all("installed 2 packages" in ears for ears in heard)
        assert there(tmp_path / "data") == [lock.id]

    asyncio.run(scenario())


def test_an_environment_that_is_there_costs_one_look(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        environments = make()
        environment = await built(environments, "alpha")
        monkeypatch.setattr(asyncio, "create_subprocess_exec", None)
        assert await environments.build(await environments.lock(from_list(["alpha"]))) is environment
        restarted = make()
        await restarted.open()
        assert await restarted.build(await restarted.lock(from_list(["alpha"]))) == environment
        await environments.close()
        await restarted.close()

    asyncio.run(scenario())


def test_no_file_is_shared_with_the_cache_or_another_environment(make: Make) -> None:
    async def scenario() -> None:
        environment = await built(make(), "alpha")
        files = [path for path in environment.folder.rglob("*") if path.is_file() and not path.is_symlink()]
        assert {path.stat().st_nlink for path in files} == {1}

    asyncio.run(scenario())


def test_byte_code_is_compiled_behind_an_environment_in_use(make: Make) -> None:
    async def scenario() -> None:
        environments = make()
        environment = await built(environments, "alpha")
        await environments.settled()
        assert list(environment.folder.rglob("alpha/__pycache__/*.pyc"))

    asyncio.run(scenario())


def test_different_locks_are_built_two_at_a_time(make: Make, index: PackageIndex) -> None:
    async def scenario() -> None:
        environments = make(indexes=(index.url,))
        await environments.open()
        for name in ("one", "two", "three"):
            wheel(index.folder, name)
            index.instead[f"{name}-1.0-py3-none-any.whl"] = index.stall
        locks = [await environments.lock(from_list([name])) for name in ("one", "two", "three")]
        building = [asyncio.create_task(environments.build(lock)) for lock in locks]
        await until(lambda: len(fetched()) == 2, within=LONG, what="two builds to be under way")
        index.gate.set()
        await asyncio.gather(*building)
        assert len(fetched()) == 3

    def fetched() -> list[str]:
        return [
            path
            for path in index.requested
            if path.endswith(("one-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl", "three-1.0-py3-none-any.whl"))
        ]

    asyncio.run(scenario())


def test_two_environments_that_install_the_same_package_at_once_are_both_right(make: Make) -> None:
    """Row D-16, with an empty cache."""

    async def scenario() -> None:
        environments = make()
        await environments.open()
        locks = [await environments.lock(from_list([line, "alpha<2"])) for line in ("beta", "worker")]
        for environment in await asyncio.gather(*map(environments.build, locks)):
            assert says(environment, "import alpha, worker; print(alpha.__version__)") == "1.0"

    asyncio.run(scenario())


def test_one_that_gives_up_waiting_does_not_stop_the_build_for_another(make: Make, index: PackageIndex) -> None:
    async def scenario() -> None:
        environments = make(indexes=(index.url,))
        await environments.open()
        index.instead["alpha-2.0-py3-none-any.whl"] = index.stall
        lock = await environments.lock(from_list(["alpha"]))
        impatient, patient = (asyncio.create_task(environments.build(lock)) for _ in range(2))
        await until(
            lambda: "/files/alpha-2.0-py3-none-any.whl" in index.requested,
            within=LONG,
            what="the build to be under way",
        )
        impatient.cancel()
        await asyncio.wait({impatient})
        index.gate.set()
        assert (await patient).python.exists()

    asyncio.run(scenario())


def test_a_build_that_nobody_waits_for_is_given_up_whole(make: Make, index: PackageIndex, tmp_path: Path) -> None:
    async def scenario() -> None:
        environments = make(indexes=(index.url,))
        await environments.open()
        index.instead["alpha-2.0-py3-none-any.whl"] = index.stall
        lock = await environments.lock(from_list(["alpha"]))
        waiting = asyncio.create_task(environments.build(lock))
        await until(
            lambda: "/files/alpha-2.0-py3-none-any.whl" in index.requested,
            within=LONG,
            what="the build to be under way",
        )
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        assert there(tmp_path / "data") == []
        assert children("uv") == []
        index.gate.set()
        assert (await environments.build(lock)).python.exists()

    asyncio.run(scenario())


def test_what_an_ended_uv_had_begun_to_unpack_does_not_stay(make: Make, index: PackageIndex, tmp_path: Path) -> None:
    """It may be what filled the disk."""
    wheel(index.folder, "heavy", files={"heavy/blob": os.urandom(2_000_000)})
    cache = tmp_path / "data" / "cache" / "uv"

    async def scenario() -> None:
        environments = make(indexes=(index.url,))
        await environments.open()
        lock = await environments.lock(from_list(["heavy"]))
        index.instead["heavy-1.0-py3-none-any.whl"] = index.pause
        building = asyncio.create_task(environments.build(lock))
        await until(lambda: list(cache.glob(".tmp*/*")), within=LONG, what="uv to unpack")
        building.cancel()
        await asyncio.wait({building})
        assert list(cache.glob(".tmp*")) == []

    asyncio.run(scenario())


def test_collecting_keeps_what_is_named_and_what_is_being_built(
    make: Make, index: PackageIndex, tmp_path: Path
) -> None:
    async def scenario() -> None:
        environments = make(indexes=(index.url,))
        kept, dropped = await built(environments, "alpha<2"), await built(environments, "beta")
        index.instead["gamma-1.0-py3-none-any.whl"] = index.stall
        lock = await environments.lock(from_list(["gamma"]))
        building = asyncio.create_task(environments.build(lock))
        await until(
            lambda: "/files/gamma-1.0-py3-none-any.whl" in index.requested,
            within=LONG,
            what="the build to be under way",
        )
        assert await environments.collect(lambda one: one == kept.id) == (dropped.id,)
        index.gate.set()
        assert (await building).python.exists()
        assert kept.python.exists()
        assert not dropped.folder.exists()
        assert there(tmp_path / "data") == sorted([kept.id, lock.id])
        assert says(await built(environments, "beta"), "import beta") == "", "it can be made again"

    asyncio.run(scenario())


def test_an_environment_whose_python_is_gone_is_made_again(make: Make) -> None:
    async def scenario() -> None:
        environments = make()
        environment = await built(environments, "alpha")
        await environments.settled()
        environment.python.unlink()
        environment.python.symlink_to("/nowhere/python")
        assert says(await built(environments, "alpha"), "import alpha") == ""

    asyncio.run(scenario())


def test_an_environment_that_may_not_have_survived_a_power_failure_is_made_again(make: Make) -> None:
    async def scenario() -> None:
        environment = await built(environments := make(), "alpha")
        await environments.settled()
        (environment.folder / ".settled").unlink()
        (environment.folder / ".made").write_text("another boot")
        (module,) = environment.folder.rglob("alpha/__init__.py")
        module.write_text("")
        again = await built(make(), "alpha")
        assert says(again, "import alpha; print(alpha.__version__)") == "2.0"

    asyncio.run(scenario())


def test_a_full_disk_is_waited_for_and_leaves_nothing(make: Make, tmp_path: Path) -> None:
    """Row D-14."""

    async def scenario() -> None:
        environments = make()
        await environments.open()
        lock = await environments.lock(from_list(["alpha"]))
        full = make(bounds=Bounds(spare=1 << 60))
        await full.open()
        with pytest.raises(Wait) as failed:
            await full.build(lock)
        assert failed.value.problems[0].code == "disk-full"
        assert there(tmp_path / "data") == []

    asyncio.run(scenario())


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    (folder := tmp_path / "tiny").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small disk of its own needs the right to mount one")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_fills_up_in_the_middle_is_waited_for_and_left_clean(
    make: Make, wheels: Path, tiny_disk: Path
) -> None:
    async def scenario() -> None:
        wheel(wheels, "large", files={"large/blob.bin": os.urandom(1_200_000)})
        environments = make(tiny_disk, bounds=Bounds(spare=0))
        await environments.open()
        lock = await environments.lock(from_list(["large"]))
        with pytest.raises(Wait) as failed:
            await environments.build(lock)
        assert failed.value.problems[0].code == "disk-full"
        assert str(tiny_disk) not in (failed.value.detail or "")
        assert there(tiny_disk) == []

    asyncio.run(scenario())
