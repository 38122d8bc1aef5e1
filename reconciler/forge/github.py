"""GitHub: commit statuses, check runs where an App speaks, deployments, and one comment per pull request.

Statuses need no more than a token. An App's check runs show each problem at its line; where GitHub does not let us
write them, statuses say the same in short. Before the first word about a commit it is asked what was said already, so
that a server that starts again repeats nothing.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import jwt

from reconciler.forge.http import Api, Refused
from reconciler.forge.links import Links
from reconciler.model.statement import MARKER, Deployed, State, Statement, Summary, Word

VERSION: Final = "2022-11-28"
ANNOTATIONS_AT_ONCE: Final = 50
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
class Told:
    """What GitHub has heard about one commit."""

    statuses: dict[str, tuple[str, str]] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    run_states: dict[str, tuple[State, str]] = field(default_factory=dict)
    deployed: set[str] = field(default_factory=set)


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
        told = await self._told_about(word.sha)
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
        if told.run_states.get(word.context) == (word.state, word.description):
            return
        pieces = [
            word.annotations[start : start + ANNOTATIONS_AT_ONCE]
            for start in range(0, len(word.annotations), ANNOTATIONS_AT_ONCE)
        ] or [()]
        for piece in pieces:
            body = _given({**self._run(word), "output": _output(word, piece)})
            run = told.runs.get(word.context)
            if run is None:
                begun = {**body, "name": word.context, "head_sha": word.sha}
                answer = await self._call("POST", f"{self._repo}/check-runs", begun)
                told.runs[word.context] = int(answer["id"])
            else:
                await self._call("PATCH", f"{self._repo}/check-runs/{run}", body)
        told.run_states[word.context] = (word.state, word.description)

    def _run(self, word: Statement) -> dict[str, Any]:
        about = {"details_url": self._links.about(word.service)}
        if word.state is State.PENDING:
            return {**about, "status": "in_progress"}
        return {**about, "status": "completed", "conclusion": CONCLUSIONS[word.state]}

    async def _told_about(self, sha: str) -> Told:
        if sha in self._told:
            self._told.move_to_end(sha)
            return self._told[sha]
        told = Told()
        combined = await self._call("GET", f"{self._repo}/commits/{sha}/status", per_page="100")
        for one in (combined or {}).get("statuses", ()):
            told.statuses[one["context"]] = (one["state"], one["description"] or "")
        if self._may_write_checks:
            await self._recall_runs(sha, told)
        self._told[sha] = told
        while len(self._told) > SHAS_KNOWN:
            self._told.popitem(last=False)
        return told

    async def _recall_runs(self, sha: str, told: Told) -> None:
        try:
            found = await self._call("GET", f"{self._repo}/commits/{sha}/check-runs", per_page="100")
        except Refused:
            return
        for run in (found or {}).get("check_runs", ()):
            if str((run.get("app") or {}).get("id")) != str(self._app.id if self._app else None):
                continue
            state = _STATES.get(run.get("conclusion") or "", State.PENDING)
            told.runs[run["name"]] = run["id"]
            told.run_states[run["name"]] = (state, (run.get("output") or {}).get("title") or "")

    # Deployments

    async def _deployed(self, word: Deployed) -> None:
        told = await self._told_about(word.sha)
        environment = f"{self._links.environment}/{word.service}"
        if environment in told.deployed:
            return
        query = {"sha": word.sha, "environment": environment, "per_page": "1"}
        known = await self._call("GET", f"{self._repo}/deployments", **query)
        number = known[0]["id"] if known else await self._deploy(word, environment)
        state = {
            "state": "success",
            "environment_url": self._links.service(word.path),
            "log_url": self._links.about(word.service),
            "description": f"{word.service} is live",
            # The one before it in the same environment is inactive from now on, also when that is the newer commit.
            "auto_inactive": True,
        }
        await self._call("POST", f"{self._repo}/deployments/{number}/statuses", _given(state))
        self._forget_deployments_of(environment)
        told.deployed.add(environment)

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

    def _forget_deployments_of(self, environment: str) -> None:
        """An older commit may be live again later, and that is news."""
        for told in self._told.values():
            told.deployed.discard(environment)

    # Comments

    async def _comment(self, word: Summary) -> None:
        pulls = await self._call("GET", f"{self._repo}/commits/{word.sha}/pulls", per_page="10")
        for pull in (pulls or [])[:PULLS_TOLD]:
            await self._comment_on(pull["number"], word.text)

    async def _comment_on(self, pull: int, text: str) -> None:
        comments = await self._call("GET", f"{self._repo}/issues/{pull}/comments", per_page="100")
        ours = next((one for one in comments or () if (one.get("body") or "").startswith(MARKER)), None)
        if ours is None:
            await self._call("POST", f"{self._repo}/issues/{pull}/comments", {"body": text})
        elif ours["body"] != text:
            await self._call("PATCH", f"{self._repo}/issues/comments/{ours['id']}", {"body": text})

    # Credentials

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


def _output(word: Statement, piece: tuple[Any, ...]) -> dict[str, Any]:
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
