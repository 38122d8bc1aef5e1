"""Gitea and Forgejo: commit statuses, almost as GitHub has them."""

import httpx

from reconciler.forge.heard import Heard
from reconciler.forge.http import Api
from reconciler.forge.links import Links
from reconciler.model.statement import Statement, Word


class Gitea:
    def __init__(
        self, api: str, path: str, token: str, links: Links, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._api = Api(api, transport, Authorization=f"token {token}")
        self._path = path
        self._links = links
        self._heard = Heard()

    async def say(self, word: Word) -> None:
        if not isinstance(word, Statement) or self._heard.knows(word):
            return
        body = {
            "state": word.state.value,
            "context": word.context,
            "description": word.description,
            "target_url": self._links.about(word.service) or "",
        }
        await self._api.call("POST", f"/repos/{self._path}/statuses/{word.sha}", body)
        self._heard.note(word)
