"""Git and people want different things of one service in the same moment: one comes after the other, each is told."""

from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import service

ROUNDS = 3
KEPT = "watch_window: 30s\n"
"""The release before stays warm meanwhile, so that a rollback is as quick as the others."""


def test_a_deploy_a_rollback_a_restart_and_a_removal_are_serialised(shared: Platform) -> None:
    for number in range(ROUNDS):
        shared.deploy(service("torn", f"{number}-old", manifest=KEPT))
        shared.deploy(service("torn", f"{number}-new", manifest=KEPT))
        shared.commit(service("torn", f"{number}-next", manifest=KEPT))
        with ThreadPoolExecutor() as pool:
            wishes = ["/v1/sync", "/v1/services/torn/rollback", "/v1/services/torn/restart", "/v1/sync"]
            begun = [pool.submit(shared.control.post, wish) for wish in wishes]
            shared.commit({"services/torn": None})
            begun.append(pool.submit(shared.control.post, "/v1/sync"))
            for answer in (one.result() for one in begun):
                assert says_what_happened(answer), answer.text
        shared.sync()
        assert shared.control.get("/v1/services/torn").status_code == 404
        assert shared.services.get("/api/torn/version").status_code == 404
    shared.deploy(service("torn", "back", manifest=KEPT))
    assert shared.version("torn") == "back"
    assert [one["state"] for one in shared.service("torn")["workers"]] == ["ready"]
    shared.deploy({"services/torn": None})


def says_what_happened(answer: httpx.Response) -> bool:
    """Done, asked for, or why not: the service is gone, or the same is under way."""
    return answer.status_code in (200, 202) or (answer.status_code in (404, 409) and bool(answer.json()["detail"]))
