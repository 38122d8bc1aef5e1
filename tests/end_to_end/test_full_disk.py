"""A disk without room: what runs goes on, and what could not be done is done as soon as there is room."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import httpx
import pytest

from tests.end_to_end.orders import UNWATCHED, ask, check_that_all_is_gone, is_held, serves
from tests.end_to_end.platform import SHARED, Platform, eventually
from tests.end_to_end.samples import held_by, service
from tests.end_to_end.traffic import Traffic
from tests.waiting import until_sync


@pytest.fixture
def small(tmp_path: Path, template: Path) -> Iterator[Platform]:
    """A platform whose data folder is a disk of its own, and a small one. The environments are beside it."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    words = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", str(data)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, timeout=10, check=False).returncode:
        pytest.skip("[optional] mounting a disk is for root")
    try:
        for name in SHARED:
            copytree(template / name, tmp_path / "beside" / name, copy_function=os.link, symlinks=True)
            (data / name).symlink_to(tmp_path / "beside" / name)
        with Platform(tmp_path) as platform:
            yield platform
    finally:
        subprocess.run(["umount", "--lazy", str(data)], timeout=10, check=True)


def fill(folder: Path) -> Path:
    """Leave no room at all."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


def test_a_full_disk_is_survived_and_forgotten(small: Platform, brake: Path) -> None:
    small.commit({"services.yaml": UNWATCHED, **service("tasks")})
    small.start()
    with Traffic(small.port, ["/api/tasks"], clients=2) as traffic:
        small.commit(service("tasks", "2", also=held_by(brake)))
        ask(small)
        eventually(lambda: is_held(small, "tasks"), what="a start under way")
        ballast = fill(small.data)
        until_sync(lambda: is_refused(small), what="a journal without room")
        brake.unlink()
        eventually(lambda: small.condition("tasks")["status"] == "False", what="the failure of the switch")
        traffic.settle()
        assert set(traffic.tally.versions) == {"1"}
        ballast.unlink()
        eventually(lambda: small.version("tasks") == "2", within=20, what="another try, which nobody asked for")
        assert small.deploy(service("tasks", "3"))["state"] == "done"
        serves(small, "tasks", "3")
    assert (traffic.tally.lost, traffic.tally.closed) == (0, 0), traffic.tally
    assert small.condition("tasks")["status"] == "True"
    eventually(lambda: len(small.forked()) == 1, what="the end of what could not be switched to")
    check_that_all_is_gone(small)


def is_refused(platform: Platform) -> bool:
    try:
        return platform.control.post("/v1/sync").status_code >= 500
    except httpx.TransportError:
        return True
