"""One request to the candidate and its answer, over the candidate's private socket and nowhere else.

The client is httpx on a Unix socket: whatever host a redirect or a header names, the bytes go to this one process.
Bounded in time and in size; what a service does wrong is `Broken`, what keeps the suite from being played
is `Unreachable`.
"""

import asyncio
import ssl
from collections.abc import Callable
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, TypeAlias

import httpx

from reconciler.inside.head import NOT_TAKEN
from reconciler.model.suite.answer import KEPT, Answer
from reconciler.suite.call import Call, Impossible

Clock: TypeAlias = Callable[[], float]

HOST: Final = "http://service"
READ: Final = 8 << 20
"""Bytes of a body after which it is not read any further."""
REDIRECTS: Final = 5
ONE_BY_ONE: Final = httpx.Limits(max_connections=2, max_keepalive_connections=1)


class Broken(Exception):
    """The service did not answer as HTTP wants it."""


class Unreachable(Exception):
    """Nobody listens on the private socket."""


class Door(httpx.AsyncHTTPTransport):
    """A worker that has to go says of a request whether the service will ever see it."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if NOT_TAKEN in response.headers:
            await response.aclose()
            raise httpx.ConnectError("the worker has to go")
        return response


class TimedOut(Exception):
    """No answer, or not the whole of it, within the time a request has."""


def connect(socket: str) -> httpx.AsyncClient:
    """A client of one suite: its cookies are its own, and nothing of this process's environment reaches it."""
    return httpx.AsyncClient(
        transport=transport(socket),
        timeout=None,  # noqa: S113 - `ask` limits the whole exchange, which costs less than limiting each step
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https"))),
    )


def transport(socket: str) -> httpx.AsyncHTTPTransport:
    """For whoever asks one thing, and needs none of what a client adds."""
    return Door(uds=socket, verify=_no_tls(), trust_env=False, limits=ONE_BY_ONE)


async def ask(client: httpx.AsyncClient, call: Call, within: float, clock: Clock) -> Answer:
    """Send one request and read its answer; time is limited from outside the client, once for everything."""
    request = _with_cookies(client, _request(client, call), call)
    started = clock()
    try:
        async with asyncio.timeout(within):
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                body, size = await _read(response)
            finally:
                await response.aclose()
    except TimeoutError:
        raise TimedOut from None
    except httpx.ConnectError as error:
        raise Unreachable(f"no connection to the candidate ({error})") from None
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
        raise Broken(f"the service closed the connection without a whole answer ({error or 'reset'})") from None
    except httpx.DecodingError as error:
        raise Broken(f"the body is not encoded as it says ({error})") from None
    except httpx.LocalProtocolError as error:
        raise Impossible(f"this cannot be sent: {error}") from None
    headers = tuple((name, value) for name, value in response.headers.multi_items())
    return Answer(response.status_code, headers, body, size, clock() - started, call.target)


async def ask_on(
    client: httpx.AsyncClient, call: Call, within: Callable[[], float], clock: Clock
) -> tuple[Call, Answer]:
    """The same, with redirects followed inside the service; the last call and its answer, with the whole duration."""
    seconds = 0.0
    for _hop in range(REDIRECTS + 1):
        answer = await ask(client, call, within(), clock)
        seconds += answer.seconds
        target = _redirect(answer, call)
        if target is None:
            return call, Answer(answer.status, answer.headers, answer.body, answer.size, seconds, call.target)
        call = call.redirected(answer.status, target)
    raise Broken(f"more than {REDIRECTS} redirects")


def _redirect(answer: Answer, call: Call) -> str | None:
    location = answer.header("location")
    if answer.status not in (301, 302, 303, 307, 308) or not isinstance(location, str):
        return None
    try:
        url = httpx.URL(HOST + call.target).join(location)
    except httpx.InvalidURL:
        raise Broken("it redirects to something that is no URL") from None
    if url.host != httpx.URL(HOST).host or url.scheme != "http":
        raise Broken(f"it redirects to {url.scheme}://{url.host}, and a suite asks its own service only")
    return url.raw_path.decode("ascii")


def _request(client: httpx.AsyncClient, call: Call) -> httpx.Request:
    headers = [(name.encode("ascii"), value.encode()) for name, value in call.headers]
    try:
        if not call.attachments and not call.fields:
            return client.build_request(call.method, HOST + call.target, headers=headers, content=call.content)
        files = [(part.field, (part.file_name, part.content, part.media_type)) for part in call.attachments]
        data: dict[str, list[str]] = {}
        for name, value in call.fields:
            data.setdefault(name, []).append(value)
        return client.build_request(call.method, HOST + call.target, headers=headers, data=data, files=files)
    except httpx.InvalidURL as error:
        raise Impossible(f"`{call.target}` cannot be asked for: {error}") from None


def _with_cookies(client: httpx.AsyncClient, request: httpx.Request, call: Call) -> httpx.Request:
    """The client sends `Secure` cookies over TLS only; a private socket is as safe, and services set them."""
    if len(client.cookies.jar) and not any(name.lower() == "cookie" for name, _ in call.headers):
        request.headers.pop("cookie", None)
        client.cookies.set_cookie_header(request)
    return request


async def _read(response: httpx.Response) -> tuple[bytes, int]:
    """The beginning of the body, and how much came; a body without end is left to itself."""
    kept = bytearray()
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if len(kept) < KEPT:
            kept += chunk[: KEPT - len(kept)]
        if size > READ:
            raise Broken(f"the body is larger than {READ >> 20} MiB, and was not read any further")
    return bytes(kept), size


@cache
def _no_tls() -> ssl.SSLContext:
    """Never used on a Unix socket, and one context for all, since making one costs more than a request."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
