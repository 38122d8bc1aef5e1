"""GitLab and Gitea, as far as their documentation says what they take; and which forge an address means."""

import asyncio
from typing import Any

import httpx
import pytest

from reconciler.forge.forge import Repository, connect, locate
from reconciler.forge.links import Links
from reconciler.model.statement import Deployed, State, Statement, concluded

SHA = "c" * 40
LINKS = Links("https://api.example.com", "https://dash.example.com")
FAILED = {"service": "tasks", "verb": "replace", "outcome": "failed", "reason": "ImportFailed", "message": "no module"}


def told(
    repository: Repository,
    *words: Any,
    answers: dict[str, int] | None = None,
    known: list[dict[str, Any]] | None = None,
) -> list[tuple[str, Any]]:
    """Every path that was called, with what it was told. `known` are the statuses that it has already."""
    heard: list[tuple[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        import json

        key = request.headers.get("private-token") or request.headers.get("authorization")
        assert key in ("secret", "token secret")
        if request.method == "GET":
            first = (int(request.url.params["page"]) - 1) * int(request.url.params["limit"])
            page = (known or [])[first : first + int(request.url.params["limit"])]
            return httpx.Response(200, json={"state": "success", "statuses": page})
        body = json.loads(request.content)
        heard.append((request.url.raw_path.decode(), body))
        status = (answers or {}).get(body["state"], 201)
        return httpx.Response(status, json={"message": "Cannot transition status via :run from :success"})

    async def run() -> None:
        speaker = connect(repository, "secret", LINKS, transport=httpx.MockTransport(answer))
        for word in words:
            await speaker.say(word)

    asyncio.run(run())
    return heard


def test_gitlab_hears_of_jobs() -> None:
    repository = Repository("gitlab", "https://gitlab.example.com/api/v4", "group/sub/services")
    pending = Statement(SHA, "reconciler/tasks", State.PENDING, "starting")
    heard = told(repository, pending, *concluded(SHA, FAILED), *concluded(SHA, FAILED))
    path = f"/api/v4/projects/group%2Fsub%2Fservices/statuses/{SHA}"
    assert heard == [
        (
            path,
            {
                "state": state,
                "name": "reconciler/tasks",
                "description": description,
                "target_url": "https://dash.example.com/services/tasks",
            },
        )
        for state, description in (("running", "starting"), ("failed", "ImportFailed: no module"))
    ]


def test_gitlab_may_be_told_what_it_knows() -> None:
    repository = Repository("gitlab", "https://gitlab.example.com/api/v4", "group/services")
    heard = told(repository, Statement(SHA, "reconciler/tasks", State.PENDING, "again"), answers={"running": 400})
    assert len(heard) == 1


def test_gitea_hears_of_statuses() -> None:
    repository = Repository("gitea", "https://git.example.com/api/v1", "octo/services")
    heard = told(repository, *concluded(SHA, FAILED), Deployed(SHA, "tasks", None))
    assert heard == [
        (
            f"/api/v1/repos/octo/services/statuses/{SHA}",
            {
                "state": "failure",
                "context": "reconciler/tasks",
                "description": "ImportFailed: no module",
                "target_url": "https://dash.example.com/services/tasks",
            },
        )
    ]


def test_gitea_is_not_told_again_what_it_heard_before_this_start() -> None:
    repository = Repository("gitea", "https://git.example.com/api/v1", "octo/services")
    others = [{"context": f"ci/{number}", "status": "warning", "description": ""} for number in range(70)]
    known = {"context": "reconciler/tasks", "status": "failure", "description": "ImportFailed: no module"}
    assert told(repository, *concluded(SHA, FAILED), known=[*others, known]) == []
    assert len(told(repository, *concluded(SHA, FAILED), known=[{**known, "status": "success"}])) == 1


@pytest.mark.parametrize(
    ("location", "given", "expected"),
    [
        ("https://github.com/octo/services.git", {}, ("github", "https://api.github.com", "octo/services")),
        ("git@github.com:octo/services.git", {}, ("github", "https://api.github.com", "octo/services")),
        ("ssh://git@gitlab.com/a/b/c", {}, ("gitlab", "https://gitlab.com/api/v4", "a/b/c")),
        ("https://codeberg.org/octo/services", {}, ("gitea", "https://codeberg.org/api/v1", "octo/services")),
        (
            "https://git.example.com/octo/services",
            {"forge": "github"},
            ("github", "https://git.example.com/api/v3", "octo/services"),
        ),
        (
            "/srv/git/services",
            {"forge": "github", "path": "octo/services"},
            ("github", "https://api.github.com", "octo/services"),
        ),
        (
            "https://git.example.com/octo/services",
            {"forge": "gitea", "api": "http://10.0.0.1/api/v1"},
            ("gitea", "http://10.0.0.1/api/v1", "octo/services"),
        ),
        ("https://git.example.com/octo/services", {}, None),
        ("/srv/git/services", {}, None),
        ("https://github.com/octo", {}, None),
    ],
)
def test_an_address_says_which_forge_it_is(
    location: str, given: dict[str, Any], expected: tuple[str, str, str] | None
) -> None:
    found = locate(location, **given)
    assert (found and (found.forge, found.api, found.path)) == expected
