"""GitHub: commit statuses, check runs where an App speaks, deployments, and one comment per pull request.

Statuses need no more than a token. An App's check runs show each problem at its line; where GitHub does not let us
write them, statuses say the same in short. Before the first word of a kind it is asked what was said already, so that
a server that starts again repeats nothing; and of nothing else, since each kind takes a permission of its own.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import jwt

from reconciler.forge.http import Api, Refused, listed
from reconciler.forge.links import Links
from reconciler.model.statement import MARKER, Annotation, Deployed, State, Statement, Summary, Word

VERSION: Final = "2022-11-28"
ANNOTATIONS_AT_ONCE: Final = 50
PER_PAGE: Final = 100
MOST_PAGES: Final = 30
"""More than GitHub has of anything that is listed here: 2,500 comments, 1,000 statuses of a kind."""
SHAS_KNOWN: Final = 64
PULLS_TOLD: Final = 3
CONCLUSIONS: Final = {State.SUCCESS: "success", State.FAILURE: "failure", State.ERROR: "cancelled"}
_STATES: Final = {"success": State.SUCCESS, "failure": State.FAILURE, "cancelled": State.ERROR}


@dataclass(frozen=True, slots=True)
class App:
    """Credentials of a GitHub App that is installed on the repository."""

    id: str
    key: str = field(repr=False)

    def proof(self) -> str:
        """Good for minutes; GitHub's clock and ours may differ a little."""
        now = int(time.time())
        return jwt.encode({"iat": now - 60, "exp": now + 540, "iss": self.id}, self.key, algorithm="RS256")


@dataclass(slots=True)
class Run:
    """A check run, and what it says."""

    id: int
    said: tuple[State, str] | None = None
    begun: tuple[Statement, int] | None = None
    """A statement that did not come through whole, and how many pieces of its annotations did."""

    def goes_on_with(self, word: Statement) -> bool:
        """What ended stays as it ended: annotations cannot be taken back, so another end is another run."""
        return self.begun[0] == word if self.begun else self.said is not None and self.said[0] is State.PENDING


@dataclass(slots=True)
class Told:
    """What GitHub has heard about one commit, by context; None where it was not asked yet."""

    statuses: dict[str, tuple[str, str]] | None = None
    runs: dict[str, Run] | None = None


class GitHub:
    def __init__(
        self,
        api: str,
        path: str,
        token: str,
        links: Links,
        app: App | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._api = Api(api, transport, Accept="application/vnd.github+json", **{"X-GitHub-Api-Version": VERSION})
        self._repo = f"/repos/{path}"
        self._token = token
        self._links = links
        self._app = app
        self._installed: tuple[str, float] | None = None
        self._may_write_checks = app is not None
        self._told: OrderedDict[str, Told] = OrderedDict()
        self._live: dict[str, str] = {}
        """The commit that each environment is known to show."""

    async def say(self, word: Word) -> None:
        match word:
            case Statement():
                await self._state(word)
            case Deployed():
                await self._deployed(word)
            case Summary():
                await self._comment(word)

    # Statuses and check runs

    async def _state(self, word: Statement) -> None:
        told = self._told_about(word.sha)
        if self._may_write_checks:
            try:
                await self._check_run(word, told)
                return
            except Refused as refused:
                if refused.status != 403:
                    raise
                # The App has no right to write checks; a status says the same in short.
                self._may_write_checks = False
        await self._status(word, told)

    async def _status(self, word: Statement, told: Told) -> None:
        if told.statuses is None:
            told.statuses = await self._recall_statuses(word.sha)
        if told.statuses.get(word.context) == (word.state.value, word.description):
            return
        body = {
            "state": word.state.value,
            "context": word.context,
            "description": word.description,
            "target_url": self._links.about(word.service),
        }
        await self._call("POST", f"{self._repo}/statuses/{word.sha}", _given(body))
        told.statuses[word.context] = (word.state.value, word.description)

    async def _check_run(self, word: Statement, told: Told) -> None:
        if told.runs is None:
            told.runs = await self._recall_runs(word.sha)
        run = told.runs.get(word.context)
        if run is not None and run.said == (word.state, word.description):
            return
        if run is not None and not run.goes_on_with(word):
            run = None
        pieces = [
            word.annotations[start : start + ANNOTATIONS_AT_ONCE]
            for start in range(0, len(word.annotations), ANNOTATIONS_AT_ONCE)
        ] or [()]
        come_through = run.begun[1] if run is not None and run.begun is not None else 0
        for number, piece in enumerate(pieces[come_through:], come_through + 1):
            run = Run(await self._write_run(word, piece, run), begun=(word, number))
            told.runs[word.context] = run
        told.runs[word.context] = Run(told.runs[word.context].id, (word.state, word.description))

    async def _write_run(self, word: Statement, piece: Sequence[Annotation], run: Run | None) -> int:
        body = _given({**self._run(word), "output": _output(word, piece)})
        if run is not None:
            await self._call("PATCH", f"{self._repo}/check-runs/{run.id}", body)
            return run.id
        begun = {**body, "name": word.context, "head_sha": word.sha}
        answer = await self._call("POST", f"{self._repo}/check-runs", begun)
        return int(answer["id"])

    def _run(self, word: Statement) -> dict[str, Any]:
        about = {"details_url": self._links.about(word.service)}
        if word.state is State.PENDING:
            return {**about, "status": "in_progress"}
        return {**about, "status": "completed", "conclusion": CONCLUSIONS[word.state]}

    def _told_about(self, sha: str) -> Told:
        told = self._told.setdefault(sha, Told())
        self._told.move_to_end(sha)
        while len(self._told) > SHAS_KNOWN:
            self._told.popitem(last=False)
        return told

    async def _recall_statuses(self, sha: str) -> dict[str, tuple[str, str]]:
        pages = self._pages(f"{self._repo}/commits/{sha}/status", "statuses")
        return {one["context"]: (one["state"], one["description"] or "") async for one in pages}

    async def _recall_runs(self, sha: str) -> dict[str, Run]:
        runs: dict[str, Run] = {}
        async for one in self._pages(f"{self._repo}/commits/{sha}/check-runs", "check_runs"):
            known = runs.get(one["name"])
            if self._is_ours(one) and (known is None or known.id < one["id"]):
                state = _STATES.get(one.get("conclusion") or "", State.PENDING)
                runs[one["name"]] = Run(one["id"], (state, (one.get("output") or {}).get("title") or ""))
        return runs

    def _is_ours(self, run: dict[str, Any]) -> bool:
        by = run.get("app") or {}
        return self._app is not None and self._app.id in (str(by.get("id")), by.get("client_id"))

    # Deployments

    async def _deployed(self, word: Deployed) -> None:
        """An environment shows the newest of its deployments, so an older commit that is live again gets another."""
        environment = f"{self._links.environment}/{word.service}"
        if self._live.get(environment) == word.sha:
            return
        found = await self._call("GET", f"{self._repo}/deployments", environment=environment, per_page="2")
        newest, former = (*(found or ()), None, None)[:2]
        if newest is None or newest["sha"] != word.sha:
            await self._activate(word, await self._deploy(word, environment), newest)
        elif not await self._is_active(newest):
            await self._activate(word, int(newest["id"]), former)
        self._live[environment] = word.sha

    async def _activate(self, word: Deployed, number: int, former: dict[str, Any] | None) -> None:
        if former is not None:
            # GitHub itself does so only for what is older, and never in production.
            await self._call("POST", f"{self._repo}/deployments/{former['id']}/statuses", {"state": "inactive"})
        state = {
            "state": "success",
            "environment_url": self._links.service(word.path),
            "log_url": self._links.about(word.service),
            "description": f"{word.service} is live",
            "auto_inactive": False,
        }
        await self._call("POST", f"{self._repo}/deployments/{number}/statuses", _given(state))

    async def _is_active(self, deployment: dict[str, Any]) -> bool:
        path = f"{self._repo}/deployments/{deployment['id']}/statuses"
        states = await self._call("GET", path, per_page=str(PER_PAGE))
        newest = max(states or (), key=lambda one: int(one["id"]), default=None)
        return newest is not None and newest["state"] == "success"

    async def _deploy(self, word: Deployed, environment: str) -> int:
        body = {
            "ref": word.sha,
            "task": "deploy",
            "environment": environment,
            "description": f"{word.service} by reconciler",
            # Otherwise GitHub would merge branches, and refuse until every other check has passed.
            "auto_merge": False,
            "required_contexts": [],
            "production_environment": self._links.environment == "production",
            "transient_environment": False,
        }
        answer = await self._call("POST", f"{self._repo}/deployments", body)
        return int(answer["id"])

    # Comments

    async def _comment(self, word: Summary) -> None:
        pulls = await self._call("GET", f"{self._repo}/commits/{word.sha}/pulls", per_page="10")
        for pull in (pulls or [])[:PULLS_TOLD]:
            await self._comment_on(pull["number"], word.text)

    async def _comment_on(self, pull: int, text: str) -> None:
        where = f"{self._repo}/issues/{pull}/comments"
        async for one in self._pages(where):
            if (one.get("body") or "").startswith(MARKER):
                if one["body"] != text:
                    await self._call("PATCH", f"{self._repo}/issues/comments/{one['id']}", {"body": text})
                return
        await self._call("POST", where, {"body": text})

    # Requests

    def _pages(self, path: str, field: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """One item after the other of what GitHub lists a hundred at a time."""

        async def page(number: int) -> Sequence[dict[str, Any]]:
            told = await self._call("GET", path, per_page=str(PER_PAGE), page=str(number))
            items: Sequence[dict[str, Any]] = (told or {}).get(field, ()) if field is not None else told or ()
            return items

        return listed(page, per_page=PER_PAGE, most=MOST_PAGES)

    async def _call(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        headers = {"Authorization": f"Bearer {await self._credential()}"}
        return await self._api.call(method, path, body, headers=headers, **query)

    async def _credential(self) -> str:
        if self._app is None:
            return self._token
        if self._installed is None or self._installed[1] < time.time() + 60:
            self._installed = await self._installation(self._app)
        return self._installed[0]

    async def _installation(self, app: App) -> tuple[str, float]:
        """A token for this repository's installation, and when it ends; GitHub makes them for an hour."""
        proof = {"Authorization": f"Bearer {app.proof()}"}
        found = await self._api.call("GET", f"{self._repo}/installation", headers=proof)
        path = f"/app/installations/{found['id']}/access_tokens"
        made = await self._api.call("POST", path, {}, headers=proof)
        return str(made["token"]), time.time() + 3_000


def _output(word: Statement, piece: Sequence[Annotation]) -> dict[str, Any]:
    annotations = [
        {
            "path": one.file,
            "start_line": one.line,
            "end_line": one.line,
            "annotation_level": "failure",
            "message": one.message,
        }
        for one in piece
    ]
    return {"title": word.description, "summary": word.description, "annotations": annotations}


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
