"""GitLab: commit statuses, which it shows as external jobs."""

from urllib.parse import quote

import httpx

from reconciler.forge.heard import Heard
from reconciler.forge.http import Api, Refused
from reconciler.forge.links import Links
from reconciler.model.statement import State, Statement, Word

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
        self._heard = Heard()

    async def say(self, word: Word) -> None:
        if not isinstance(word, Statement) or self._heard.knows(word):
            return
        body = {
            "state": STATES[word.state],
            "name": word.context,
            "description": word.description,
            "target_url": self._links.about(word.service),
        }
        told = {name: value for name, value in body.items() if value is not None}
        try:
            await self._api.call("POST", f"/projects/{self._project}/statuses/{word.sha}", told)
        except Refused as refused:
            # It answers so to a state that a job has already: nothing is left to say.
            if not (refused.status == 400 and "Cannot transition status" in refused.message):
                raise
        self._heard.note(word)
