"""The services of this repository, served from a clone of it, do what their folders say."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import websockets.sync.client

from tests.end_to_end import samples
from tests.end_to_end.platform import ROOT, Platform, eventually

NEED_A_PROJECT = {"tasks"}
"""Suspended here, and played in tests/supabase against a project."""
NAMES = sorted({path.parent.name for path in (ROOT / "services").glob("*/service.yaml")} - NEED_A_PROJECT)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("gallery"), template) as made:
        made.commit(samples.gallery())
        yield made.start(ready_within=180)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_live_and_documented(gallery: Platform, name: str) -> None:
    told = gallery.service(name)
    assert gallery.condition(name)["reason"] == "Live", told
    assert told["description"]
    assert told["path"] == f"/api/{name}/"
    assert gallery.services.get(f"/api/{name}/openapi.json").json()["paths"]


def test_what_needs_a_project_is_suspended_until_somebody_has_one(gallery: Platform) -> None:
    for name in NEED_A_PROJECT:
        assert gallery.condition(name, "Suspended"), gallery.service(name)
    assert "Stalled" not in gallery.status()["counts"]


def test_two_majors_of_one_library_render_the_same_text_differently(gallery: Platform) -> None:
    said = {"text": "*£*bravo"}
    assert gallery.services.post("/api/markdown/", json=said).text == "<p>*£*bravo</p>\n"
    assert gallery.services.post("/api/archive/", json=said).text == "<p><em>£</em>bravo</p>\n"
    versions = [gallery.services.get(f"/api/{name}/about").json()["version"] for name in ("markdown", "archive")]
    assert [version.split(".")[0] for version in versions] == ["4", "2"]


def test_services_without_requirements_share_one_environment(gallery: Platform) -> None:
    plain = {
        gallery.service(name)["environment"]["id"] for name in ("hello", "stream", "chat", "notes", "board", "quote")
    }
    assert len(plain) == 1


def test_a_table_streams(gallery: Platform) -> None:
    with gallery.services.stream("GET", "/api/stream/squares.csv", params={"rows": 20_000}) as answer:
        assert sum(1 for _ in answer.iter_lines()) == 20_001


def test_a_countdown_comes_as_events_and_can_be_continued(gallery: Platform) -> None:
    answer = gallery.services.get(
        "/api/stream/countdown", params={"start": 9, "every": 0.001}, headers={"Last-Event-ID": "2"}
    )
    assert [line for line in answer.text.split("\n") if line.startswith("event")] == ["event: tick", "event: liftoff"]


def test_a_form_and_bare_bytes_have_the_same_fingerprint(gallery: Platform) -> None:
    content = bytes(range(256)) * 5000
    form = gallery.services.post("/api/upload/", files={"file": ("all.bin", content)})
    bare = gallery.services.put("/api/upload/all.bin", content=content)
    assert (
        form.json()
        == bare.json()
        == {
            "name": "all.bin",
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    )


def test_two_people_talk(gallery: Platform) -> None:
    room = f"ws://127.0.0.1:{gallery.port}/api/chat/rooms/lobby"
    with (
        websockets.sync.client.connect(f"{room}?author=Ada") as ada,
        websockets.sync.client.connect(f"{room}?author=Bob") as bob,
    ):
        bob.send("Morning!")
        assert "Morning!" in str(ada.recv(5))
        ada.send("Good morning, Bob.")
        assert "Bob." in str(bob.recv(5)) + str(bob.recv(5))


def test_notes_have_a_life(gallery: Platform) -> None:
    made = gallery.services.post("/api/notes/notes", json={"title": "Try it", "tags": ["now"]})
    place = f"/api/notes/{made.headers['location']}"
    assert gallery.services.get(place).json()["title"] == "Try it"
    assert gallery.services.delete(place).status_code == 204
    assert gallery.services.get(place).status_code == 404
    assert gallery.services.post("/api/notes/notes", json={"title": ""}).status_code == 422


def test_a_whole_application_keeps_its_middleware(gallery: Platform) -> None:
    answer = gallery.services.get("/api/board/", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "<h2>doing</h2>" in answer.text


def test_shared_code_is_found(gallery: Platform) -> None:
    offer = gallery.services.post("/api/quote/offers", json=[{"title": "Nail", "quantity": 1, "cents": 50}])
    assert offer.json()["vat"] == "0.10 EUR"


def test_a_scheduler_of_its_own_works_once_the_release_serves_and_jobs_run_beside_it(gallery: Platform) -> None:
    eventually(lambda: gallery.services.get("/api/digest/seen").json()["work"] > 0, what="work")
    told = {}
    for job in ("nightly", "prune"):
        begun = gallery.control.post(f"/v1/services/digest/cron/{job}/run").raise_for_status().json()["id"]
        place = f"/v1/services/digest/runs/{begun}"
        eventually(lambda: gallery.control.get(place).json()["finished_at"], what=f"the end of {job}")  # noqa: B023
        told[job] = gallery.control.get(place).json()["message"]
    assert told == {"nightly": "answered 200", "prune": "returned 0"}
    assert gallery.services.get("/api/digest/summaries").json()[-1]["work"] > 0
