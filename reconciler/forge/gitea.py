"""Gitea and Forgejo: commit statuses, almost as GitHub has them."""

import httpx

from reconciler.forge.http import Api
from reconciler.forge.links import Links
from reconciler.model.statement import AGGREGATE, State, Statement, Word


class Gitea:
    def __init__(
        self, api: str, path: str, token: str, links: Links, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._api = Api(api, transport, Authorization=f"token {token}")
        self._path = path
        self._links = links
        self._told: dict[tuple[str, str], tuple[State, str]] = {}

    async def say(self, word: Word) -> None:
        if not isinstance(word, Statement) or self._told.get(word.key) == (word.state, word.description):
            return
        service = None if word.context == AGGREGATE else word.context.partition("/")[2]
        body = {
            "state": word.state.value,
            "context": word.context,
            "description": word.description,
            "target_url": self._links.about(service) or "",
        }
        await self._api.call("POST", f"/repos/{self._path}/statuses/{word.sha}", body)
        self._told[word.key] = (word.state, word.description)
