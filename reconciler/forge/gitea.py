"""Gitea and Forgejo: commit statuses, almost as GitHub has them.

Each that is said is kept, and told to whoever listens, so before the first about a commit it is asked what was said.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import httpx

from reconciler.forge.heard import Heard
from reconciler.forge.http import Api, Refused, listed
from reconciler.forge.links import Links
from reconciler.model.statement import State, Statement, Word

PER_PAGE: Final = 50
MOST_PAGES: Final = 40


class Gitea:
    def __init__(
        self, api: str, path: str, token: str, links: Links, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._api = Api(api, transport, Authorization=f"token {token}")
        self._path = path
        self._links = links
        self._heard = Heard()

    async def say(self, word: Word) -> None:
        if not isinstance(word, Statement):
            return
        if not self._heard.has_asked(word.sha):
            await self._ask(word.sha)
        if self._heard.knows(word):
            return
        body = {
            "state": word.state.value,
            "context": word.context,
            "description": word.description,
            "target_url": self._links.about(word.service) or "",
        }
        await self._api.call("POST", f"/repos/{self._path}/statuses/{word.sha}", body)
        self._heard.note(word)

    async def _ask(self, sha: str) -> None:
        """What was said of a commit before this server started. Where nobody answers that, it is said again."""
        try:
            async for one in listed(partial(self._statuses, sha), per_page=PER_PAGE, most=MOST_PAGES):
                if one.get("status") in set(State):
                    self._heard.note(Statement(sha, one["context"], State(one["status"]), one.get("description") or ""))
        except Refused as refused:
            if refused.status == 401:
                raise
        self._heard.asked(sha)

    async def _statuses(self, sha: str, page: int) -> Sequence[dict[str, Any]]:
        path = f"/repos/{self._path}/commits/{sha}/status"
        told = await self._api.call("GET", path, page=str(page), limit=str(PER_PAGE))
        return (told or {}).get("statuses") or ()
