"""Requirements to a lock, with the real uv and a folder of wheels for an index."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from reconciler.model.failure import Reason, Stalled
from reconciler.model.progress import silent
from reconciler.model.requirement import Requirements, from_list, from_lock, from_text
from reconciler.model.requirement_line import Line
from tests.environment.conftest import Make
from tests.environment.wheels import PackageIndex, serving, sha256, source, wheel

FILE = "services/tasks/requirements.txt"


async def lock_of(make: Make, *lines: str) -> dict[str, str]:
    environments = make()
    await environments.open()
    return dict((await environments.lock(from_list(lines))).packages)


def refused(make: Make, asked: Requirements) -> Stalled:
    async def scenario() -> None:
        environments = make()
        await environments.open()
        await environments.lock(asked)

    with pytest.raises(Stalled) as failed:
        asyncio.run(scenario())
    assert failed.value.reason is Reason.REQUIREMENTS_FAILED
    assert len(failed.value.detail or "") <= 2_000
    return failed.value


def test_a_lock_holds_what_was_asked_what_that_needs_and_what_every_worker_needs(make: Make) -> None:
    assert asyncio.run(lock_of(make, "beta")) == {"alpha": "1.0", "beta": "1.0", "worker": "1.0"}


def test_equal_packages_are_one_environment_however_they_were_asked_for(make: Make) -> None:
    async def scenario() -> None:
        environments = make()
        await environments.open()
        first = await environments.lock(from_list(["alpha"]))
        second = await environments.lock(from_list(["alpha>=1.5"]))
        other = await environments.lock(from_list(["alpha<2"]))
        assert first.id == second.id != other.id

    asyncio.run(scenario())


def test_a_resolution_is_kept_for_ever(make: Make, wheels: Path) -> None:
    async def scenario() -> None:
        asked = from_list(["alpha"])
        environments = make()
        await environments.open()
        first = await environments.lock(asked)
        wheel(wheels, "alpha", "3.0")
        restarted = make()
        await restarted.open()
        assert await restarted.lock(asked) == first
        assert (await restarted.lock(asked, fresh=True)).packages["alpha"] == "3.0"

    asyncio.run(scenario())


def test_a_torn_lock_is_made_again(make: Make, tmp_path: Path) -> None:
    async def scenario() -> None:
        environments = make()
        await environments.open()
        first = await environments.lock(from_list(["alpha"]))
        (kept,) = (tmp_path / "data" / "locks").iterdir()
        for text in ("", "{", json.dumps({"id": "x"}), "[]"):
            kept.write_text(text)
            again = make()
            await again.open()
            assert await again.lock(from_list(["alpha"])) == first

    asyncio.run(scenario())


def test_several_that_ask_for_the_same_wait_for_one_resolution(make: Make) -> None:
    async def scenario() -> None:
        environments = make()
        await environments.open()
        heard: list[str] = []
        asked = from_list(["alpha"])
        locks = await asyncio.gather(*(environments.lock(asked, heard.append) for _ in range(3)))
        assert len({id(lock) for lock in locks}) == 1
        assert heard.count("resolving requirements") == 3, "one resolution, heard by all three"

    asyncio.run(scenario())


def test_a_package_that_does_not_exist_points_at_its_line(make: Make) -> None:
    failure = refused(make, from_text(b"alpha\nnot-there>=1\n", FILE))
    (problem,) = failure.problems
    assert (problem.code, problem.place, problem.excerpt) == ("package-not-found", f"{FILE}:2:1", "not-there>=1")
    assert "not-there" in failure.message


def test_a_version_that_does_not_exist_keeps_uvs_sentence(make: Make) -> None:
    failure = refused(make, from_text(b"alpha>=9\n", FILE))
    assert failure.problems[0].code == "conflict"
    assert failure.problems[0].line == 1
    assert "only alpha<=2.0 is available" in (failure.detail or "")


def test_a_conflict_within_the_service_keeps_uvs_sentence(make: Make) -> None:
    failure = refused(make, from_text(b"beta\ngamma\n", FILE))
    assert failure.problems[0].code == "conflict"
    assert "all versions of beta and all versions of gamma are incompatible" in (failure.detail or "")


def test_a_long_conflict_is_cut_to_two_kilobytes_without_paths(make: Make, wheels: Path) -> None:
    for number in range(40):
        name = f"package-with-a-rather-long-name-{number}".replace("-", "_")
        wheel(wheels, name, "1.0", [f"alpha{'<2' if number % 2 else '>=2'}"])
    names = [f"package-with-a-rather-long-name-{number}" for number in range(40)]
    failure = refused(make, from_list(names))
    assert str(wheels.parent) not in f"{failure.detail}{failure.message}"


def test_a_conflict_with_the_platform_is_told_as_one(make: Make, wheels: Path) -> None:
    asked = from_text(b"worker<1\n", FILE)
    failure = refused(make, asked)
    assert failure.problems[0].code == "conflict", "no such version at all"
    wheel(wheels, "worker", "0.5")
    failure = refused(make, asked)
    assert failure.problems[0].code == "platform-conflict"
    assert failure.problems[0].line == 1
    assert failure.message == "the requirements conflict with what every worker needs: worker>=1"


def test_a_service_may_pin_what_every_worker_needs(make: Make, wheels: Path) -> None:
    wheel(wheels, "worker", "1.5")
    assert asyncio.run(lock_of(make, "worker==1.0"))["worker"] == "1.0"


def test_a_package_for_another_python_is_named(make: Make, wheels: Path) -> None:
    wheel(wheels, "modern", python=">=3.99")
    failure = refused(make, from_text(b"modern\n", FILE))
    assert failure.problems[0].code == "python-unsupported"
    assert "modern" in failure.message
    assert failure.problems[0].line == 1


def test_a_service_for_another_python_is_refused_before_anything_runs(make: Make) -> None:
    failure = refused(make, Requirements(("alpha",), python=">=3.99"))
    assert failure.problems[0].code == "python-unsupported"
    assert ">=3.99" in failure.message


def test_a_source_archive_is_refused_and_never_run(make: Make, wheels: Path, tmp_path: Path) -> None:
    source(wheels, "fromsource", tmp_path / "ran")
    failure = refused(make, from_text(b"alpha\nfromsource\n", FILE))
    (problem,) = failure.problems
    assert (problem.code, problem.line) == ("no-wheel", 2)
    assert "fromsource" in problem.message
    assert "--allow-builds fromsource" in (problem.remedy or "")
    assert not (tmp_path / "ran").exists()


def test_a_source_archive_that_something_else_needs_is_named(make: Make, wheels: Path, tmp_path: Path) -> None:
    source(wheels, "fromsource", tmp_path / "ran")
    wheel(wheels, "needs", "1.0", ["fromsource==1.0"])
    (problem,) = refused(make, from_text(b"alpha\nneeds\n", FILE)).problems
    assert (problem.code, problem.line) == ("no-wheel", 2)
    assert "fromsource" in problem.message


def test_a_conflict_is_one_although_another_release_has_no_wheel(make: Make, wheels: Path, tmp_path: Path) -> None:
    source(wheels, "mixed", tmp_path / "ran")
    for version in ("1.1", "1.2"):
        wheel(wheels, "mixed", version, ["alpha<2"])
    assert refused(make, from_text(b"alpha>=2\nmixed\n", FILE)).problems[0].code == "conflict"


def test_a_wheel_for_another_platform_is_refused_like_a_missing_one(make: Make, wheels: Path) -> None:
    path = wheel(wheels, "elsewhere")
    path.rename(wheels / "elsewhere-1.0-cp311-cp311-win_amd64.whl")
    assert refused(make, from_list(["elsewhere"])).problems[0].code == "no-wheel"


def test_a_hash_that_no_file_has_is_a_mismatch(make: Make) -> None:
    failure = refused(make, from_text(f"alpha==1.0 --hash=sha256:{'0' * 64}\n".encode(), FILE))
    assert failure.problems[0].code == "hash-mismatch"
    assert failure.problems[0].line == 1


def test_hashes_that_a_service_names_are_the_only_ones_taken(make: Make, wheels: Path) -> None:
    async def scenario() -> None:
        environments = make()
        await environments.open()
        named = sha256(wheels / "alpha-1.0-py3-none-any.whl")
        lock = await environments.lock(from_list([f"alpha==1.0 --hash={named} --hash=sha256:{'0' * 64}"]))
        assert named in lock.text
        assert "0" * 64 not in lock.text

    asyncio.run(scenario())


def test_what_lock_writes_reads_back_as_the_same_environment(make: Make) -> None:
    async def scenario() -> None:
        environments = make()
        await environments.open()
        asked = from_list(["beta"])
        text = await environments.lock_text(asked)
        locked = from_lock(text.encode(), "services/tasks/service.lock")
        assert (await environments.lock(locked)).id == (await environments.lock(asked)).id

    asyncio.run(scenario())


def test_a_lock_may_leave_out_what_every_worker_needs(make: Make, wheels: Path) -> None:
    async def scenario() -> None:
        wheel(wheels, "delta", "1.0", ["alpha"])
        wheel(wheels, "worker", "2.0", ["delta"])
        environments = make()
        await environments.open()
        line = f"alpha==1.0 --hash={sha256(wheels / 'alpha-1.0-py3-none-any.whl')}"
        lock = await environments.lock(from_lock(line.encode(), "service.lock"))
        assert lock.packages == {"alpha": "1.0", "delta": "1.0", "worker": "2.0"}

    asyncio.run(scenario())


def test_a_lock_that_leaves_out_what_its_packages_need_is_incomplete(make: Make, wheels: Path) -> None:
    line = f"beta==1.0 --hash={sha256(wheels / 'beta-1.0-py3-none-any.whl')}"
    failure = refused(make, from_lock(line.encode(), "services/tasks/service.lock"))
    (problem,) = failure.problems
    assert problem.code == "lock-incomplete"
    assert problem.message == "service.lock does not list alpha, which beta needs"
    assert (
        problem.remedy is not None
        and f"with Python {sys.version_info.major}.{sys.version_info.minor} on " in problem.remedy
    )
    assert problem.place == "services/tasks/service.lock:1:1"


def test_the_first_index_that_knows_a_name_is_the_only_one_asked(
    make: Make, tmp_path: Path, index: PackageIndex
) -> None:
    """Row D-07: a public package with the name of a private one and a higher version."""
    (public := tmp_path / "public").mkdir()
    wheel(public, "alpha", "99.0")
    wheel(public, "other", "1.0")

    async def scenario(url: str) -> None:
        environments = make(indexes=(index.url, url))
        await environments.open()
        lock = await environments.lock(from_list(["alpha", "other"]))
        assert (lock.packages["alpha"], lock.packages["other"]) == ("2.0", "1.0")

    with serving(public) as second:
        asyncio.run(scenario(second.url))
        assert not any("alpha" in path for path in second.requested)


def test_a_yanked_release_is_not_chosen(make: Make, index: PackageIndex) -> None:
    """Row D-09."""
    index.yanked.add("alpha-2.0-py3-none-any.whl")

    async def scenario() -> None:
        environments = make(indexes=(index.url,))
        await environments.open()
        assert (await environments.lock(from_list(["alpha"]))).packages["alpha"] == "1.0"

    asyncio.run(scenario())


def test_a_direct_url_is_locked_by_its_hash(make: Make, index: PackageIndex) -> None:
    async def scenario() -> None:
        url = index.url.replace("/simple", "/files/alpha-1.0-py3-none-any.whl")
        asked = Requirements((f"alpha @ {url}",), origin=(Line(f"alpha @ {url}"),))
        environments = make(indexes=(index.url,))
        await environments.open()
        lock = await environments.lock(asked, silent)
        assert lock.packages["alpha"] == "1.0"
        assert sha256(index.folder / "alpha-1.0-py3-none-any.whl") in lock.text
        assert (await environments.build(lock)).python.exists()

    asyncio.run(scenario())


def test_resolutions_that_nobody_used_for_long_are_forgotten_and_those_of_environments_kept(make: Make) -> None:
    async def scenario() -> None:
        environments = make()
        await environments.open()
        built = await environments.lock(from_list(["alpha<2"]))
        await environments.build(built)
        for wish in ("alpha", "beta", "gamma"):
            await environments.lock(from_list([wish]))
        locks, made = environments._locks, {built.id}
        kept = sorted(locks.folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        assert len(kept) == 4
        await environments.prune()
        assert len(list(locks.folder.glob("*.json"))) == 4
        assert locks.prune(made, most=1) == 2
        left = {json.loads(path.read_bytes())["packages"].get("gamma") for path in locks.folder.glob("*.json")}
        assert left == {None, "1.0"}
        assert locks.of(built.id).id == built.id
        await environments.close()

    asyncio.run(scenario())
