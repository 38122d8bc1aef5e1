"""Another mount: every service moves there by a release of its own, and one that cannot stays where it was."""

from pathlib import Path

from tests.end_to_end.orders import ask, end_of, is_held
from tests.end_to_end.platform import Platform, eventually
from tests.end_to_end.samples import PLATFORM, held_by, service
from tests.end_to_end.traffic import Tally, Traffic


def broken_by(path: Path) -> str:
    """For a router: its import fails while this file is there."""
    return f"""

    import pathlib

    if pathlib.Path("{path}").exists():
        raise RuntimeError("not today")
    """


def test_a_change_of_the_mount_is_a_release_like_any_other(platform: Platform, brake: Path, tmp_path: Path) -> None:
    fault = tmp_path / "fault"
    files = {**service("steady", also=held_by(brake)), **service("fragile", also=broken_by(fault))}
    brake.unlink()
    platform.commit({"services.yaml": PLATFORM, **files})
    platform.start()
    brake.touch()
    fault.touch()
    with Traffic(platform.port, ["/api/steady", "/api/fragile"]) as both:
        platform.commit({"services.yaml": f"{PLATFORM}mount: /v2\n"})
        sync = ask(platform)
        eventually(lambda: is_held(platform, "steady"), what="a start under way")
        eventually(lambda: platform.condition("fragile", "Stalled"), what="the failure of the other")
        both.settle(100)
    assert (both.tally.lost, both.tally.closed) == (0, 0), both.tally
    with Traffic(platform.port, ["/api/steady"]) as old:
        old.settle()
        brake.unlink()
        assert end_of(platform, sync)["state"] == "failed"
        old.settle()
    assert nothing_but(old.tally, 200, 404), old.tally
    assert platform.version("steady", "/v2") == "1"
    assert platform.version("fragile") == "1", "its last good release is where it was"
    fault.unlink()
    end_of(platform, ask(platform, retry="true"))
    assert (platform.version("fragile", "/v2"), platform.version("fragile")) == ("1", 404)


def nothing_but(tally: Tally, *codes: int) -> bool:
    return not tally.failures and set(tally.answered) == set(codes)
