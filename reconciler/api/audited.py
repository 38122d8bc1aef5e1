"""Every request that asks for a change stands in the audit log before it is answered.

Also those that were refused: who tried is worth knowing. Plain ASGI, so that it costs nothing where nothing changes.
Webhooks and pushes keep books of their own.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler.api.access import SAFE
from reconciler.api.platform import Keys
from reconciler.model.access import Caller

ELSEWHERE = ("/webhooks/", "/git/")
LONGEST = 300


class Audited:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or scope["method"] in SAFE or path.startswith(ELSEWHERE):
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                caller: Caller | None = scope.get("state", {}).get("caller")
                # Guesses are counted, not written down: a log that anybody can fill is soon none.
                if caller is not None:
                    await self._record(scope, caller, message["status"])
            await send(message)

        await self._app(scope, receive, sending)

    async def _record(self, scope: Scope, caller: Caller, status: int) -> None:
        client = scope.get("client")
        keys: Keys = scope["app"].state.platform.keys
        await keys.record(
            caller,
            f"{scope['method']} {scope['path']}"[:LONGEST],
            scope.get("path_params", {}).get("name"),
            client[0] if client else "",
            status,
        )
