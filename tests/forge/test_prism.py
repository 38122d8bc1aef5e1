"""The same words before a judge that knows nothing of our stand-in: Prism, serving GitHub's own description.

Prism answers with GitHub's published examples and remembers nothing, so what a repository holds already is put into its
answers here.
"""

import asyncio
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.forge.github import App, GitHub
from reconciler.forge.links import Links
from reconciler.model.statement import MARKER, Summary, Word, concluded, finished, planned, rolled_back
from tests.forge.contract import part_of_description
from tests.forge.github import TOKEN
from tests.forge.github import GitHub as StandIn
from tests.npm import installed
from tests.postgres import free_port
from tests.waiting import until_sync

OLD, NEW = "a" * 40, "b" * 40
LINKS = Links("https://api.example.com", "https://dash.example.com")
START = {"service": "tasks", "verb": "start", "why": "new"}
DONE = {**START, "outcome": "done"}
FAILED = {**START, "outcome": "failed", "reason": "TestsFailed", "message": "2 of 5 cases failed"}
PROBLEMS = [{"file": "services/tasks/tests.yaml", "line": line, "message": "not 200"} for line in range(1, 121)]


@pytest.fixture(scope="module")
def prism(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address."""
    folder = tmp_path_factory.mktemp("prism")
    description, said = folder / "github.json", folder / "said"
    description.write_text(json.dumps(part_of_description(("/repos/{owner}/{repo}/", "/app/installations/"))))
    program = installed("@stoplight/prism-cli", "5.16.0") / "dist" / "index.js"
    port = free_port()
    words = ["node", str(program), "mock", "--port", str(port), str(description)]
    with said.open("wb") as output, subprocess.Popen(words, stdout=output, stderr=output) as server:
        try:
            until_sync(lambda: _is_up(server, said, port), within=120, what="Prism")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def _is_up(server: "subprocess.Popen[bytes]", said: Path, port: int) -> bool:
    assert server.poll() is None, said.read_text()
    return f"Prism is listening on http://127.0.0.1:{port}" in said.read_text()


@dataclass
class Judged(httpx.AsyncBaseTransport):
    """On the way to Prism and back: notes what it thinks of each request, and tells what the repository holds."""

    holds: dict[str, Any] = field(default_factory=dict)
    """What a list consists of, by the end of its path, in place of GitHub's example."""
    calls: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._way = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        # GitHub asks for its own media type, which its description does not name.
        request.headers["accept"] = "application/json"
        answer = await self._way.handle_async_request(request)
        body = await answer.aread()
        self.calls.append((request.method, request.url.path.rpartition("/repos/o/r")[2]))
        found = json.loads(answer.headers.get("sl-violations", "[]"))
        # Not all of GitHub's own examples keep to its description.
        ours = [one for one in found if one["location"][0] != "response"]
        assert answer.is_success and not ours, f"{request.method} {request.url}: {answer.status_code} {ours}"
        held = next((held for end, held in self.holds.items() if request.url.path.endswith(end)), None)
        if request.method == "GET" and held is not None:
            return httpx.Response(200, json=held)
        return httpx.Response(answer.status_code, headers={"content-type": "application/json"}, content=body)

    async def aclose(self) -> None:
        await self._way.aclose()


def say(prism: str, words: Sequence[Word], *, app: bool = False, **holds: Any) -> list[tuple[str, str]]:
    judged = Judged({f"/{end}": held for end, held in holds.items()})

    async def run() -> None:
        credentials = App("42", StandIn().private_key) if app else None
        speaker = GitHub(prism, "o/r", TOKEN, LINKS, credentials, judged)
        async with judged:
            for word in words:
                await speaker.say(word)

    asyncio.run(run())
    return judged.calls


def test_statuses_and_deployments(prism: str) -> None:
    words = [
        *planned(NEW, [START]),
        *concluded(NEW, {**DONE, "path": "/api/tasks/"}),
        *finished(NEW, "done", None, [DONE]),
        *rolled_back(NEW, OLD, "tasks", "tasks-2 answered 500", "/api/tasks/"),
    ]
    calls = say(prism, words, deployments=[], status={"statuses": []})
    for expected in (f"/statuses/{NEW}", f"/statuses/{OLD}", "/deployments", "/deployments/1/statuses"):
        assert ("POST", expected) in calls, calls


def test_check_runs_with_annotations(prism: str) -> None:
    words = [*planned(NEW, [START]), *concluded(NEW, FAILED, PROBLEMS), *finished(NEW, "failed", None, [FAILED])]
    calls = say(prism, words, app=True)
    assert ("GET", "/installation") in calls
    assert sum(method == "PATCH" for method, _ in calls) == 4, "three pieces of annotations, and the end of the sync"


@pytest.mark.parametrize(
    ("comments", "expected"),
    [([], ("POST", "/issues/1347/comments")), ([{"id": 9, "body": f"{MARKER}\nold"}], ("PATCH", "/issues/comments/9"))],
    ids=["the first", "one that is there"],
)
def test_comments(prism: str, comments: list[Any], expected: tuple[str, str]) -> None:
    assert expected in say(prism, [Summary(NEW, f"{MARKER}\nnew")], comments=comments)


def test_the_judge_judges(prism: str) -> None:
    """Otherwise its silence would say nothing."""
    at, known = f"{prism}/repos/o/r/statuses/{NEW}", {"Authorization": f"Bearer {TOKEN}"}
    assert httpx.post(at, json={"state": "success"}, headers=known).status_code == 201
    assert httpx.post(at, json={"state": "passed"}, headers=known).status_code == 422
