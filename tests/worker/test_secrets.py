"""The values of a release's secrets: in its workers, nowhere beside them, and as new as each worker."""

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest

from reconciler.model.failure import Reason, Wait
from tests.waiting import until
from tests.worker.stage import GOOD, Place, scene

TELLS = """
import os
print("started with", os.environ.get("TOKEN", "")[:12][::-1], len(os.environ.get("LONG", "")), flush=True)
from fastapi import APIRouter
router = APIRouter()
"""


def memory_of(pid: int) -> bytes:
    """Everything that a process could read in itself, what it has freed included."""
    parts = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            place, rights = line.split()[:2]
            if "r" in rights and "w" in rights:
                begin, end = (int(number, 16) for number in place.split("-"))
                with contextlib.suppress(OSError, OverflowError):
                    memory.seek(begin)
                    parts.append(memory.read(end - begin))
    return b"".join(parts)


@pytest.mark.skipif(sys.platform != "linux", reason="[optional] the memory of a process is read in /proc")
def test_secrets_are_in_the_worker_and_never_in_what_the_next_one_is_a_copy_of() -> None:
    async def scenario(place: Place) -> None:
        planted = "planted-" + "b7f3" * 8
        long = "".join(f"{number:063}é\n" for number in range(15_000))
        place.values = {"TOKEN": planted, "LONG": long}
        zygote = await place.warm()
        crew = place.crew(TELLS, secrets=["TOKEN", "LONG"])
        await crew.start()
        (worker,) = crew.workers
        said = "".join(path.read_text() for path in (place.folder / "output").rglob("*") if path.is_file())
        assert f"started with {planted[:12][::-1]} {len(long)}" in said
        stem = int(Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[1])
        for pid in (zygote, stem, worker.pid):
            assert planted.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
            assert planted.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert stem != zygote and planted.encode() not in memory_of(stem)
        other = place.crew(GOOD)
        await other.start()
        assert planted.encode() in memory_of(worker.pid), "the search can find it where it is"
        assert planted.encode() not in memory_of(other.workers[0].pid)
        assert planted not in repr(crew.spec) and not crew.spec.secrets
        await asyncio.gather(crew.discard(), other.discard())

    scene(scenario)


def test_a_worker_that_takes_anothers_place_gets_what_there_is_by_then() -> None:
    async def scenario(place: Place) -> None:
        place.values = {"TOKEN": "first-value"}
        crew = place.crew(TELLS, secrets=["TOKEN"])
        await crew.start()
        (first,) = crew.workers
        del place.values["TOKEN"]
        first.kill()
        await until(lambda: first.is_gone, what="the end of the first")
        await asyncio.sleep(0)
        place.values = {"TOKEN": "second-value"}
        await until(lambda: crew.ready, what="another")
        assert len(crew.crashes) == 1, "a secret that was away for a while is no crash"
        said = "".join(path.read_text() for path in (place.folder / "output").rglob("*") if path.is_file())
        assert "started with eulav-dnoces" in said
        await crew.discard()

    scene(scenario)


def test_a_start_without_its_secret_is_refused_by_name_and_begins_no_worker() -> None:
    async def scenario(place: Place) -> None:
        with pytest.raises(Wait, match="there is no secret 'TOKEN'") as refused:
            await place.crew(TELLS, secrets=["TOKEN"]).start()
        assert refused.value.reason is Reason.SECRET_MISSING and not place.book.intended

    scene(scenario)
