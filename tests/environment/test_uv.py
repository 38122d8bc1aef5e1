"""What of the operator's word reaches uv, and how: indexes of every kind, and what a person hears meanwhile."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.environment import Environments
from reconciler.environment.uv import Uv
from reconciler.model.requirement import from_list
from tests.environment.conftest import Make
from tests.environment.wheels import PackageIndex, wheel

KINDS: dict[str, Callable[[Path, PackageIndex], tuple[str, ...]]] = {
    "a folder of wheels": lambda folder, index: (str(folder),),
    "a file URL of one": lambda folder, index: (folder.as_uri(),),
    "an address": lambda folder, index: (index.url,),
    "a folder and an address": lambda folder, index: (str(folder), index.url),
    "a folder laid out as an index": lambda folder, index: (str(laid_out(folder)),),
    "a file URL of that": lambda folder, index: (laid_out(folder).as_uri(),),
}


def laid_out(folder: Path) -> Path:
    """What `pip download` and a static mirror leave: one page per name."""
    simple = folder.parent / "simple"
    for path in folder.iterdir():
        (page := simple / path.name.partition("-")[0]).mkdir(parents=True, exist_ok=True)
        with (page / "index.html").open("a") as file:
            file.write(f'<a href="{path.as_uri()}">{path.name}</a>\n')
    return simple


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_an_index_may_be(
    make: Make, wheels: Path, index: PackageIndex, kind: Callable[[Path, PackageIndex], tuple[str, ...]]
) -> None:
    async def scenario() -> None:
        environments = make(indexes=kind(wheels, index))
        await environments.open()
        lock = await environments.lock(from_list(["beta"]))
        assert lock.packages == {"alpha": "1.0", "beta": "1.0", "worker": "1.0"}
        assert (await environments.build(lock)).python.exists()

    asyncio.run(scenario())


def test_an_index_password_is_in_no_argument(tmp_path: Path) -> None:
    uv = Uv(tmp_path, ("https://user:hunter2@one.example/simple", "https://two.example/simple"))
    assert uv.sources() == ()
    assert uv.environment()["UV_INDEX"] == "https://user:hunter2@one.example/simple"
    assert uv.environment()["UV_DEFAULT_INDEX"] == "https://two.example/simple"


def test_only_what_is_named_is_inherited(tmp_path: Path) -> None:
    inherited = {"PATH": "/bin", "HTTPS_PROXY": "http://proxy", "UV_INDEX": "x", "NETRC": "y", "PYTHONPATH": "z"}
    environment = Uv(tmp_path, inherited=inherited).environment()
    assert environment.keys() & inherited.keys() == {"PATH", "HTTPS_PROXY"}
    assert environment["HOME"] == str(tmp_path / "home")


def test_a_person_hears_what_takes_time_in_our_words(make: Make, index: PackageIndex) -> None:
    wheel(index.folder, "heavy", files={"heavy/blob": b"\0" * 2_000_000})
    heard: list[str] = []

    async def scenario(environments: Environments) -> None:
        await environments.open()
        await environments.build(await environments.lock(from_list(["heavy"]), heard.append), heard.append)

    asyncio.run(scenario(make(indexes=(index.url,))))
    assert heard == [
        "resolving requirements",
        "resolved 2 packages",
        "downloading heavy (1.9 MB)",
        "downloaded 2 packages",
        "installed 2 packages",
    ]
