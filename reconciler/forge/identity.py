"""Jobs of GitHub Actions that show who they are, in place of a shared secret.

A job with `id-token: write` gets a token that GitHub signed for one audience. It is worth something here when every
claim that the operator named has the value he gave: the repository's number above all, since names can be taken over
and the `sub` claim changes its form. The keys are fetched ahead and at most once a minute; a key that is not known yet
is nobody's until then. Refuses every algorithm but RS256, and whatever keys or addresses a token brings along.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import jwt

from reconciler.model.access import Caller, Scope

log = logging.getLogger(__name__)

ISSUER: Final = "https://token.actions.githubusercontent.com"
KEYS: Final = "/.well-known/jwks"
BINDABLE: Final = (
    "repository_id",
    "repository_owner_id",
    "ref",
    "environment",
    "job_workflow_ref",
    "event_name",
    "workflow_ref",
)
ONE_OF: Final = ("repository_id", "repository_owner_id")
"""Without one of these any repository of the world would do."""
LONGEST: Final = 16_384
SKEW: Final = 60
REFRESHED_EVERY: Final = 3_600.0
FETCHED_AT_MOST_EVERY: Final = 60.0


@dataclass(frozen=True, slots=True)
class Trust:
    """Which jobs are believed, and what they may do."""

    audience: str
    claims: Mapping[str, str]
    scopes: frozenset[Scope] = frozenset({"read"})


class Keys:
    """The issuer's public keys by their ids, as they were fetched last; old ones stay while it is away."""

    def __init__(self, issuer: str = ISSUER, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = httpx.AsyncClient(base_url=issuer, timeout=10.0, transport=transport)
        self._known: dict[str, jwt.PyJWK] = {}
        self._wanted = asyncio.Event()
        self._wanted.set()

    def get(self, key: str) -> jwt.PyJWK | None:
        found = self._known.get(key)
        if found is None:
            self._wanted.set()
        return found

    async def run(self) -> None:
        """Fetch them now, when one is missing, and every hour."""
        last = float("-inf")
        while True:
            try:
                async with asyncio.timeout(REFRESHED_EVERY):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(max(0.0, last + FETCHED_AT_MOST_EVERY - time.monotonic()))
            last = time.monotonic()
            self._wanted.clear()
            await self._fetch()

    async def _fetch(self) -> None:
        try:
            response = await self._client.get(KEYS)
            response.raise_for_status()
            keys = jwt.PyJWKSet.from_dict(response.json()).keys
            self._known = {key.key_id: key for key in keys if key.key_type == "RSA" and key.key_id}
        except (httpx.HTTPError, jwt.PyJWTError, AttributeError, ValueError, KeyError, TypeError) as error:
            log.warning("the keys of GitHub Actions cannot be fetched: %s", error)


@dataclass(frozen=True, slots=True)
class Jobs:
    keys: Keys
    trust: Trust

    def recognise(self, text: str) -> Caller | None:
        """Whose token it is; None for anything that is not exactly what is believed."""
        if len(text) > LONGEST or text.count(".") != 2:
            return None
        try:
            key = self.keys.get(str(jwt.get_unverified_header(text).get("kid")))
            if key is None:
                return None
            claims: dict[str, Any] = jwt.decode(
                text,
                key.key,
                algorithms=["RS256"],
                audience=self.trust.audience,
                issuer=ISSUER,
                leeway=SKEW,
                options={"require": ["exp", "iat", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        if any(str(claims.get(name)) != value for name, value in self.trust.claims.items()):
            return None
        name = f"job of {str(claims.get('repository', 'a repository'))[:100]}"
        return Caller(name, self.trust.scopes, until=datetime.fromtimestamp(claims["exp"] + SKEW, UTC))
