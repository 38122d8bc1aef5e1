"""The running server, as the commands talk to it.

Found through the data folder, where the server wrote down its address and token, or through RECONCILER_URL
and RECONCILER_TOKEN. Refuses to send a token that was found in a folder to an address that was not.
"""

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode, urlsplit

import typer

from reconciler.data_folder import read_address, read_admin_token
from reconciler.misconfigured import Misconfigured

ANSWERS_WITHIN = 30.0
PAGE = 500
Query = str | int | bool | None

DataOption = Annotated[Path, typer.Option("--data", envvar="RECONCILER_DATA", help="The running server's data folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
DATA = Path(".reconciler")


class Unreachable(Exception):
    """Nobody who speaks for the server answers; exit code 3."""


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    token: str
    patience: float = ANSWERS_WITHIN
    """Seconds for an answer that takes no work."""

    def get(self, path: str, **query: Query) -> Any:
        with self._ask("GET", path, query, self.patience) as response:
            return _decode(response.read(), self.url)

    def wait_for(self, path: str, within: float, **query: Query) -> Any:
        """Like `get`, for an answer that takes some work."""
        with self._ask("GET", path, query, within) as response:
            return _decode(response.read(), self.url)

    def post(self, path: str, *, body: Any = None, within: float | None = None, **query: Query) -> Any:
        with self._ask("POST", path, query, within or self.patience, body) as response:
            return _decode(response.read(), self.url)

    def put(self, path: str, body: Any) -> Any:
        with self._ask("PUT", path, {}, self.patience, body) as response:
            return _decode(response.read(), self.url)

    def delete(self, path: str) -> Any:
        with self._ask("DELETE", path, {}, self.patience) as response:
            return _decode(response.read(), self.url)

    def lines(self, path: str, **query: Query) -> Iterator[Any]:
        """One JSON value per line, as they come."""
        with self._ask("GET", path, query, self.patience) as response:
            for line in response:
                if line.strip():
                    yield _decode(line, self.url)

    @contextmanager
    def stream(self, path: str, query: Mapping[str, Query], silence: float | None = None) -> Iterator[Iterator[bytes]]:
        """The lines of an answer without an end, once it has begun; `silence` is the longest that is borne."""
        with self._ask("GET", path, query, silence) as response:
            yield iter(response)

    def items(self, path: str, **query: Query) -> Iterator[Any]:
        """Everything a paginated list holds."""
        after: str | None = None
        while True:
            page = self.get(path, **query, limit=PAGE, after=after)
            yield from page["items"]
            after = page["next"]
            if after is None:
                return

    @contextmanager
    def _ask(
        self, method: str, path: str, query: Mapping[str, Query], timeout: float | None, body: Any = None
    ) -> Iterator[http.client.HTTPResponse]:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=timeout)
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        try:
            content = None if body is None else json.dumps(body)
            headers |= {} if content is None else {"Content-Type": "application/json"}
            connection.request(method, parts.path.rstrip("/") + path + _encode(query), content, headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise self._refusal(response)
            yield response
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, BrokenPipeError) and connection.sock is not None:
                raise
            raise Unreachable(
                f"no server answers at {self.url} ({_reason(error)}); `reconciler serve` starts one"
            ) from error
        finally:
            connection.close()

    def _refusal(self, response: http.client.HTTPResponse) -> Exception:
        told = _detail(response.read(65536))
        if response.status == 401:
            return Misconfigured(
                f"the server at {self.url} does not know this token; set RECONCILER_TOKEN, or --data to its data folder"
            )
        if response.status < 500 and response.status != 429:
            return Misconfigured(told) if told else Unreachable(_stranger(self.url, response))
        return Unreachable(f"the server at {self.url} could not answer: {told or response.reason}")


def find(data: Path) -> Server:
    url, token = os.environ.get("RECONCILER_URL"), os.environ.get("RECONCILER_TOKEN", "").strip()
    if not token.isascii() or not token.isprintable():
        raise Misconfigured("RECONCILER_TOKEN holds characters that no token has; set it to the token alone")
    if url and not token:
        raise Misconfigured("RECONCILER_URL is set, but RECONCILER_TOKEN is not")
    if url and token:
        if not _is_address(url):
            raise Misconfigured(f"RECONCILER_URL {url!r} is no address; write http://HOST:PORT or https://HOST")
        return Server(url, token)
    address = read_address(data)
    kept = token or read_admin_token(data)
    if address is None or kept is None:
        raise Unreachable(f"no server runs with the data folder {data}; name it with --data, or set RECONCILER_URL")
    return Server(address.control, kept)


def segment(name: str) -> str:
    """A name as one segment of a path, whatever it holds."""
    return quote(name, safe="")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _stranger(url: str, response: http.client.HTTPResponse) -> str:
    return (
        f"what answers at {url} is not the control plane ({response.status} {response.reason}); "
        "name its --control-port, not the services' --port"
    )


def _encode(query: Mapping[str, Query]) -> str:
    given = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in query.items()
        if value is not None
    }
    return f"?{urlencode(given)}" if given else ""


def _decode(text: bytes, url: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Unreachable(f"what answers at {url} is no reconciler") from error


def _detail(text: bytes) -> str | None:
    try:
        problem = json.loads(text)
        return str(problem.get("detail") or problem["title"])
    except (ValueError, KeyError, AttributeError):
        return None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
