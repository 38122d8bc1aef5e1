"""Jobs that show who they are: what is believed, and everything that is not."""

import asyncio
import base64
import json
import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from reconciler.forge import identity
from reconciler.forge.identity import ISSUER, Jobs, Keys, Trust
from tests.waiting import until

HERE = "https://dash.example.com"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
TRUST = Trust(HERE, {"repository_id": "1234", "ref": "refs/heads/main"})
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def published(*kids: str) -> dict[str, Any]:
    keys = [json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key())) for _ in kids]
    return {"keys": [{**key, "kid": kid, "alg": "RS256", "use": "sig"} for key, kid in zip(keys, kids, strict=True)]}


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    told = {
        "iss": ISSUER,
        "aud": HERE,
        "iat": now,
        "nbf": now,
        "exp": now + 300,
        "sub": "repo:octo/services:ref:refs/heads/main",
        "repository": "octo/services",
        "repository_id": "1234",
        "ref": "refs/heads/main",
    }
    return {name: value for name, value in {**told, **changes}.items() if value is not None}


def signed(told: dict[str, Any], key: Any = KEY, algorithm: str = "RS256", **headers: Any) -> str:
    return jwt.encode(told, key, algorithm=algorithm, headers={"kid": "one", **headers})


def forged(header: dict[str, Any], told: dict[str, Any], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(told).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


class Issuer:
    def __init__(self) -> None:
        self.asked = 0
        self.answer: Any = published("one")

    def transport(self) -> httpx.MockTransport:
        def handle(request: httpx.Request) -> httpx.Response:
            self.asked += 1
            if isinstance(self.answer, int):
                return httpx.Response(self.answer, text="<html>")
            return httpx.Response(200, json=self.answer)

        return httpx.MockTransport(handle)


def with_jobs(issuer: Issuer, scenario: Any) -> None:
    async def run() -> None:
        keys = Keys(transport=issuer.transport())
        fetching = asyncio.create_task(keys.run())
        await until(lambda: issuer.asked > 0 and keys._wanted.is_set() is False, what="the first fetch")
        await asyncio.sleep(0)
        await scenario(Jobs(keys, TRUST))
        fetching.cancel()
        await asyncio.wait([fetching])

    asyncio.run(run())


def recognised(token: str) -> Any:
    found: list[Any] = []

    async def scenario(jobs: Jobs) -> None:
        await until(lambda: jobs.keys.get("one"), what="the key")
        found.append(jobs.recognise(token))

    with_jobs(Issuer(), scenario)
    return found[0]


def test_a_job_that_shows_all_that_is_asked_may_read() -> None:
    caller = recognised(signed(claims()))
    assert (caller.name, caller.scopes) == ("job of octo/services", {"read"})


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(signed(claims(repository_id="9")), id="another repository"),
        pytest.param(signed(claims(repository_id=None)), id="no repository"),
        pytest.param(signed(claims(ref="refs/heads/evil")), id="another branch"),
        pytest.param(signed(claims(aud="https://other.example.com")), id="made for somebody else"),
        pytest.param(signed(claims(iss="https://evil.example")), id="another issuer"),
        pytest.param(signed(claims(exp=int(time.time()) - 120)), id="expired"),
        pytest.param(signed(claims(exp=None)), id="without an end"),
        pytest.param(signed(claims(nbf=int(time.time()) + 600)), id="not yet"),
        pytest.param(signed(claims(), OTHER), id="another key"),
        pytest.param(signed(claims(), kid="two"), id="an unknown key"),
        pytest.param(signed(claims(), kid="two", jku="https://evil.example/keys"), id="its own keys"),
        pytest.param(forged({"alg": "none", "kid": "one"}, claims()), id="unsigned"),
        pytest.param(forged({"alg": "HS256", "kid": "one"}, claims(), PUBLIC), id="the public key as a secret"),
        pytest.param(forged({"alg": "RS256", "kid": "one"}, claims(), b"x" * 256), id="any signature"),
        pytest.param("a.b.c", id="no token"),
        pytest.param("x" * 1_000_000, id="a megabyte"),
        pytest.param("", id="nothing"),
    ],
)
def test_whoever_shows_anything_else_is_nobody(token: str) -> None:
    assert recognised(token) is None


def test_unknown_keys_are_fetched_once_a_minute_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = Issuer()

    async def scenario(jobs: Jobs) -> None:
        await until(lambda: jobs.keys.get("one"), what="the key")
        for number in range(1_000):
            assert jobs.recognise(signed(claims(), kid=f"unknown-{number}")) is None
        await asyncio.sleep(0)
        assert issuer.asked == 1

    with_jobs(issuer, scenario)


@pytest.mark.parametrize("answer", [500, 200, {"keys": "none"}, {"keys": [{"kty": "RSA", "kid": "x"}]}])
def test_known_keys_work_while_the_issuer_is_broken(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "FETCHED_AT_MOST_EVERY", 0.0)
    issuer = Issuer()

    async def scenario(jobs: Jobs) -> None:
        await until(lambda: jobs.keys.get("one"), what="the key")
        issuer.answer = answer
        before = issuer.asked
        assert jobs.recognise(signed(claims(), kid="rotated")) is None
        await until(lambda: issuer.asked > before, what="another fetch")
        assert jobs.recognise(signed(claims())) is not None
        issuer.answer = published("one", "rotated")
        await until(lambda: jobs.recognise(signed(claims(), kid="rotated")), what="the new key")

    with_jobs(issuer, scenario)
