"""GitLab: commit statuses, which it shows as external jobs."""

from urllib.parse import quote

import httpx

from reconciler.forge.http import Api, Refused
from reconciler.forge.links import Links
from reconciler.model.statement import AGGREGATE, State, Statement, Word

STATES = {
    State.PENDING: "running",
    State.SUCCESS: "success",
    State.FAILURE: "failed",
    State.ERROR: "canceled",
}


class GitLab:
    def __init__(
        self, api: str, path: str, token: str, links: Links, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._api = Api(api, transport, **{"PRIVATE-TOKEN": token})
        self._project = quote(path, safe="")
        self._links = links
        self._told: dict[tuple[str, str], tuple[State, str]] = {}

    async def say(self, word: Word) -> None:
        if not isinstance(word, Statement) or self._told.get(word.key) == (word.state, word.description):
            return
        service = None if word.context == AGGREGATE else word.context.partition("/")[2]
        body = {
            "state": STATES[word.state],
            "name": word.context,
            "description": word.description,
            "target_url": self._links.about(service),
        }
        told = {name: value for name, value in body.items() if value is not None}
        try:
            await self._api.call("POST", f"/projects/{self._project}/statuses/{word.sha}", told)
        except Refused as refused:
            # It answers so to a state that a job has already: nothing is left to say.
            if not (refused.status == 400 and "Cannot transition status" in refused.message):
                raise
        self._told[word.key] = (word.state, word.description)
