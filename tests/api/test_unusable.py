"""A journal that cannot be used is told as what it is, and does not take the rest with it."""

import pytest

from reconciler.store.unusable import StoreUnusable
from tests.api.asking import ask, get
from tests.api.platform import Past, Still
from tests.api.statuses import service

LOCKED = StoreUnusable("The journal is in use by another program.", "Stop the other server.")


class Broken(Past):
    """Every question to it meets a locked database."""

    def __getattribute__(self, name: str) -> object:
        if name in ("sync", "syncs", "releases", "release", "compare", "delivery", "events", "last_events"):
            raise LOCKED
        return super().__getattribute__(name)


@pytest.fixture
def platform() -> Still:
    made = Still(service("tasks"))
    made.history = Broken(made)
    return made


@pytest.mark.parametrize(
    "path",
    [
        "/v1/syncs",
        "/v1/syncs/1",
        "/v1/events/newest",
        "/v1/services/tasks/releases",
        "/v1/services/tasks/releases/tasks-1",
        "/v1/services/tasks/compare/tasks-1/tasks-2",
        "/v1/services/tasks/delivery",
    ],
)
def test_it_is_a_problem_with_a_remedy_and_no_bug(platform: Still, path: str, caplog: pytest.LogCaptureFixture) -> None:
    answer = get(platform, path)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == str(LOCKED)
    assert not [record for record in caplog.records if record.exc_info]


def test_what_is_known_without_it_is_told(platform: Still) -> None:
    for path in ("/v1/status", "/v1/services", "/v1/services/tasks"):
        assert get(platform, path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/services/tasks", "/syncs", "/events"])
def test_a_page_says_so_to_people(platform: Still, path: str) -> None:
    answer = ask(platform, lambda asked: asked.get(path))
    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("text/html")
    assert "in use by another program" in answer.text
