"""Whoever asks again and knows the answer already is told so, and not sent it a second time.

A JSON answer is named by its bytes, so that equal answers have equal names, also after a restart. Only what is whole
has a name: what streams passes through. The dashboard's pages have none: each says how long ago things happened, so no
two are equal.
Plain ASGI, and it keeps nothing.
"""

import re
from hashlib import blake2b

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAMED = "application/json"
TAG = re.compile(r'(?:W/)?("[^"]*")')
OF_THE_BODY = ("content-length", "content-type")


class Named:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, Answer(Headers(scope=scope).get("if-none-match", ""), send).send)


class Answer:
    """One answer on its way out. Its head waits for its body, which is what names it."""

    def __init__(self, known: str, send: Send) -> None:
        self._known = known
        self._send = send
        self._head: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_named(message):
            self._head = message
            return
        head, self._head = self._head, None
        if head is not None and not message.get("more_body", False):
            name = f'"{blake2b(message["body"], digest_size=16).hexdigest()}"'
            headers = MutableHeaders(raw=[*head["headers"]])
            headers.update({"ETag": name, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"})
            head = {**head, "headers": headers.raw}
            if is_known(name, self._known):
                head, message = _not_modified(headers), {**message, "body": b""}
        if head is not None:
            await self._send(head)
        await self._send(message)


def is_known(name: str, known: str) -> bool:
    """Whether `If-None-Match` lists it. Weak names count, as RFC 9110 has it."""
    return known.strip() == "*" or name in TAG.findall(known)


def _is_named(head: Message) -> bool:
    headers = Headers(raw=head["headers"])
    return head["status"] == 200 and headers.get("content-type") == NAMED and "cache-control" not in headers


def _not_modified(headers: MutableHeaders) -> Message:
    for name in OF_THE_BODY:
        del headers[name]
    return {"type": "http.response.start", "status": 304, "headers": headers.raw}
