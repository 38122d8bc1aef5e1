"""Secrets from a terminal to a service that serves: set, used, changed, removed, lost and found; and shown nowhere."""

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from reconciler.api.application import ROUTERS
from tests.end_to_end.platform import COMMAND, Platform, environ, eventually
from tests.end_to_end.samples import PLATFORM, service
from tests.forge.github import TOKEN as FORGE_TOKEN
from tests.forge.github import GitHub
from tests.notification.test_notification import Receiver, receiving
from tests.waiting import until_sync

PLANTED = "planted-{}-9f27c1d05b"
"""What every value of these tests looks like, so that one search finds them all."""
MARK = b"9f27c1d05b"
MARKS = (MARK, *(base64.b64encode(b"x" * before + MARK)[4:-4] for before in range(3)))

ASKS = """

@router.get("/secret/{{name}}")
async def secret(name: str):
    import hashlib
    value = os.environ.get(name)
    return {{"hash": value and hashlib.sha256(value.encode()).hexdigest()[:12]}}


@router.post("/guess")
async def guess(request: Request):
    return {{"right": (await request.body()).decode() == os.environ.get("TOKEN")}}
"""
SUITE = """version: 1
cases:
  - name: has the value that the suite has
    POST: /guess
    text: "${secrets.TOKEN}"
    expect: {status: 200, json: {$.right: true}}
"""
REFUSES = """version: 1
cases:
  - {name: not this one, GET: /secret/CHANGING, expect: {json: {$.hash: {not: HASH}}}}
"""


TELLS = """

@router.get("/tell")
async def tell():
    import base64, logging, subprocess
    value = os.environ["TOKEN"]
    print(value, base64.b64encode(value.encode()), flush=True)
    subprocess.run(["sh", "-c", "echo child $TOKEN"], check=True)
    logging.getLogger("teller").error("it is %s", value)
    raise RuntimeError(f"no connection with {value}")
"""
TOLD = """version: 1
cases:
  - name: hears everything
    GET: /tell
    query: {key: "${secrets.TOKEN}"}
    headers: {X-Key: "Bearer ${secrets.TOKEN}"}
    expect: {status: 200, body: {contains: "${secrets.TOKEN}"}}
"""


def planted(word: str) -> str:
    return PLANTED.format(word)


def hashed(word: str) -> str:
    return hashlib.sha256(planted(word).encode()).hexdigest()[:12]


ABSENT = re.compile(r"/runs/1$|/webhooks/1$|/teller/openapi.json$|/teller/compare/|/teller/releases/")
"""What there is none of in these tests."""


def asking(name: str, secrets: str, suite: str = "") -> dict[str, str]:
    made = service(name, also=ASKS.replace("{{", "{").replace("}}", "}"), manifest=f"secrets: {secrets}\n")
    return {**made, **({f"services/{name}/tests.yaml": suite} if suite else {})}


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(scope="module")
def github() -> Iterator[GitHub]:
    with GitHub().served() as made:
        yield made


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory, template: Path, receiver: Receiver) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("safe")
    flags = ("--poll", "1h", "--secrets-file", str(folder / "payments.env"))
    variables = {
        "FROM_SERVER": planted("environment"),
        "RECONCILER_FORGE_TOKEN": FORGE_TOKEN,
        "RECONCILER_NOTIFY": f"http://127.0.0.1:{receiver.port}/news",
        "RECONCILER_ALLOW_NOTIFY": "127.0.0.1",
        "RECONCILER_NOTIFY_SECRET": "whsec_" + base64.b64encode(b"n" * 32).decode(),
    }
    with Platform(folder, template, flags, variables=variables) as made:
        made.commit({"services.yaml": PLATFORM, **service("steady")})
        yield made.start()


def reconciler(platform: Platform, *words: str, value: str | bytes = "") -> subprocess.CompletedProcess[bytes]:
    piped = value.encode() if isinstance(value, str) else value
    command = [*COMMAND, "secrets", *words, "--data", str(platform.data)]
    done = subprocess.run(command, env=environ(), input=piped, capture_output=True, timeout=30)
    assert MARK not in done.stdout + done.stderr, "a value is never told"
    return done


def put(platform: Platform, name: str, word: str) -> str:
    done = reconciler(platform, "set", name, value=planted(word) + "\n")
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def plant(platform: Platform, name: str, word: str) -> None:
    """As a program does, which costs less than a terminal."""
    assert platform.control.put(f"/v1/secrets/{name}", json={"value": planted(word)}).status_code == 200


def has(platform: Platform, name: str, secret: str) -> Any:
    answer = platform.services.get(f"/api/{name}/secret/{secret}")
    return answer.json()["hash"] if answer.status_code == 200 else answer.status_code


def stalled(platform: Platform, name: str) -> dict[str, Any]:
    found = platform.condition(name, "Stalled")
    return found if found.get("reason") == "SecretMissing" else {}


def test_a_secret_that_is_set_is_seen_by_the_service_that_names_it_and_by_no_other(safe: Platform) -> None:
    assert "TOKEN is set, version 1; no service names it yet" in put(safe, "TOKEN", "one")
    told = safe.deploy({**asking("first", "[TOKEN]", SUITE), **asking("second", "[]")})
    assert told["state"] == "done", told
    assert (has(safe, "first", "TOKEN"), has(safe, "second", "TOKEN")) == (hashed("one"), None)
    listed = reconciler(safe, "list").stdout.decode()
    assert re.search(r"TOKEN +version 1 +\d+ s ago by admin +first", listed)


def test_another_value_is_another_release_that_is_tested_like_code(safe: Platform) -> None:
    plant(safe, "CHANGING", "old")
    safe.deploy(asking("changing", "[CHANGING]", REFUSES.replace("HASH", hashed("bad"))))
    before = safe.service("changing")["live"]
    assert "changing will have it with the release that follows" in put(safe, "CHANGING", "new")
    eventually(lambda: has(safe, "changing", "CHANGING") == hashed("new"), what="the new value")
    after = safe.service("changing")["live"]
    assert after["id"] != before["id"] and after["digest"] != before["digest"]
    assert after["revision"] == before["revision"]
    assert "has this value already, as version 2" in put(safe, "CHANGING", "new")

    plant(safe, "CHANGING", "bad")
    eventually(lambda: safe.condition("changing", "Stalled").get("reason") == "TestsFailed", what="a failed suite")
    assert has(safe, "changing", "CHANGING") == hashed("new"), "the last good release serves, with its own value"
    plant(safe, "CHANGING", "good")
    eventually(lambda: has(safe, "changing", "CHANGING") == hashed("good"), what="the good value")
    assert not safe.condition("changing", "Stalled")


def test_a_missing_secret_refuses_by_name_and_heals_by_itself(safe: Platform) -> None:
    told = safe.deploy(asking("wanting", "[NOT_THERE, {name: NOR_THIS, optional: true}]"))
    assert told["state"] == "failed"
    assert has(safe, "wanting", "NOT_THERE") == 503
    condition = safe.condition("wanting")
    assert (condition["status"], condition["reason"]) == ("False", "SecretMissing")
    assert condition["message"] == "there is no secret NOT_THERE; run `reconciler secrets set NOT_THERE`."
    assert (condition["file"], condition["line"]) == ("services/wanting/service.yaml", 2)
    plant(safe, "NOT_THERE", "there")
    eventually(lambda: has(safe, "wanting", "NOT_THERE") == hashed("there"), what="the service")
    eventually(lambda: safe.condition("wanting")["reason"] == "Live", what="the word of it")


def test_what_serves_outlives_the_removal_of_its_secret(safe: Platform) -> None:
    plant(safe, "GOING", "going")
    safe.deploy(asking("keeping", "[GOING]"))
    release = safe.service("keeping")["live"]["id"]
    done = reconciler(safe, "rm", "GOING")
    assert b"GOING is removed; what runs of keeping keeps its value, new releases are refused" in done.stdout
    eventually(lambda: stalled(safe, "keeping"), what="SecretMissing")
    assert safe.condition("keeping")["message"].endswith("still serves.")
    assert has(safe, "keeping", "GOING") == hashed("going")

    worker = safe.worker("keeping")
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: has(safe, "keeping", "GOING") == hashed("going"), what="a worker in its place, with its value")
    assert safe.worker("keeping") != worker and safe.service("keeping")["live"]["id"] == release

    assert safe.deploy(asking("keeping", "[GOING] # pushed again"))["state"] == "failed"
    assert has(safe, "keeping", "GOING") == hashed("going")
    plant(safe, "GOING", "again")
    eventually(lambda: has(safe, "keeping", "GOING") == hashed("again"), what="the value that came back")
    assert not stalled(safe, "keeping")
    versions = reconciler(safe, "list", "GOING").stdout.decode()
    assert re.search(r"version 2 +removed +\d+ s ago by admin\nversion 3 +set ", versions), versions


def test_a_variable_of_the_server_and_a_line_of_an_allowed_file_are_followed_too(safe: Platform) -> None:
    file = safe.folder / "payments.env"
    elsewhere = "[{name: A, from: 'env:FROM_SERVER'}, {name: B, from: 'file:payments.env#KEY'}]"
    assert safe.deploy(asking("elsewhere", elsewhere))["state"] == "failed"
    assert safe.condition("elsewhere")["message"].startswith("there is no file payments.env; make it")
    file.write_text(f"KEY={planted('in-file')}\n")
    eventually(lambda: has(safe, "elsewhere", "B") == hashed("in-file"), what="the file to be noticed")
    assert has(safe, "elsewhere", "A") == hashed("environment")
    first = safe.service("elsewhere")["live"]["id"]
    file.write_text(f"KEY={planted('in-file')}\nOTHER=1\n")
    safe.sync()
    assert safe.service("elsewhere")["live"]["id"] == first, "another line is none of its business"
    file.write_text(f"KEY={planted('changed')}\n")
    eventually(lambda: has(safe, "elsewhere", "B") == hashed("changed"), what="the change to be noticed")
    refused = "[{name: A, from: 'file:other.env#KEY'}]"
    assert safe.deploy(asking("nosy", refused))["state"] == "failed"
    assert "no file other.env was allowed by the operator" in safe.condition("nosy")["message"]
    safe.deploy({"services/nosy": None})


def test_a_new_key_changes_nothing_for_anybody(safe: Platform) -> None:
    plant(safe, "LASTING", "lasting")
    safe.deploy(asking("lasting", "[LASTING]"))
    before, key = safe.service("lasting")["live"]["id"], (safe.data / "secrets.key").read_text()
    done = reconciler(safe, "rotate-key")
    assert done.returncode == 0 and re.search(rb"under the new key [0-9a-f]{16}", done.stdout)
    assert (safe.data / "secrets.key").read_text() != key
    safe.sync()
    assert safe.service("lasting")["live"]["id"] == before
    plant(safe, "LASTING", "changed")
    eventually(lambda: has(safe, "lasting", "LASTING") == hashed("changed"), what="the new value under the new key")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"", "the value is empty"),
        (b"\n", "the value is empty"),
        (b"a\0b", "holds a NUL"),
        (
            b"\xff\xfe\x00",
            "BAD is binary, and environment variables hold text; encode it: `base64 -w0 FILE | reconciler",
        ),
        (b"x" * 1_048_577, "has 1,048,577 bytes"),
    ],
    ids=["empty", "a line break", "NUL", "binary", "too long"],
)
def test_what_cannot_be_a_value_is_refused_in_a_sentence(safe: Platform, value: bytes, told: str) -> None:
    done = reconciler(safe, "set", "BAD", value=value)
    assert done.returncode == 2 and told in done.stderr.decode() and done.stderr.count(b"\n") == 1


def test_names_that_would_steer_a_process_are_refused(safe: Platform) -> None:
    done = reconciler(safe, "set", "LD_PRELOAD", value=planted("any"))
    assert done.returncode == 2 and b"change how a service is run" in done.stderr
    for name in ("PATH", "PYTHONPATH", "UV_INDEX", "RECONCILER_TOKEN", "no-name"):
        answer = safe.control.put(f"/v1/secrets/{name}", json={"value": planted("any")})
        assert answer.status_code == 422 and MARK not in answer.content, name
        assert re.search("named like an env|change how a service is run", answer.text), answer.text


def test_poor_values_are_taken_with_a_warning_and_long_ones_come_whole(safe: Platform) -> None:
    done = reconciler(safe, "set", "POOR", value="abc")
    assert done.returncode == 0 and done.stderr.startswith(b"warning: the value is shorter than 4 characters")
    long = (planted("line") + "\n") * 35_000
    done = reconciler(safe, "set", "LONG", "--exact", value=long)
    assert done.returncode == 0 and b"cannot start other programs" in done.stderr
    safe.deploy(asking("long", "[LONG, POOR]"))
    assert has(safe, "long", "LONG") == hashlib.sha256(long.encode()).hexdigest()[:12]
    assert has(safe, "long", "POOR") == hashlib.sha256(b"abc").hexdigest()[:12]


def test_without_its_key_the_platform_goes_on_and_says_so_in_one_line(safe: Platform) -> None:
    plant(safe, "LOCKED_UP", "locked")
    safe.deploy(asking("locked", "[LOCKED_UP]"))
    key = safe.data / "secrets.key"
    kept = key.read_bytes()
    key.unlink()
    safe.kill("control")
    eventually(lambda: safe.is_ready() and stalled(safe, "locked"), within=20, what="the trouble to be told")
    assert has(safe, "locked", "LOCKED_UP") == hashed("locked"), "what runs is not touched"
    safe.deploy(service("steady", "2"))
    assert safe.version("steady") == "2", "services without secrets go on"
    message = stalled(safe, "locked")["message"]
    assert re.match(
        r"the secret LOCKED_UP cannot be read: the secrets' key file \S+/secrets.key is missing, which holds the key "
        r"[0-9a-f]{16}; restore it from a copy\. locked-1 of main@\w+ still serves\.$",
        message,
    ), message
    done = reconciler(safe, "set", "LOCKED_UP", value=planted("other"))
    assert done.returncode == 2 and b"is missing" in done.stderr
    key.write_bytes(kept)
    key.chmod(0o600)
    eventually(lambda: not stalled(safe, "locked"), what="the key to be noticed")
    assert safe.service("locked")["live"]["id"] == "locked-1"


def test_after_a_restart_of_everything_workers_have_their_secrets_again(safe: Platform, github: GitHub) -> None:
    plant(safe, "RETURNING", "returning")
    safe.deploy(asking("returning", "[RETURNING]"))
    safe.stop()
    # From here on a forge hears of everything, too.
    forge = ("--forge", "github", "--forge-repository", github.repository, "--forge-api", github.base)
    safe.flags = (*safe.flags, *forge)
    safe.start()
    until_sync(lambda: has(safe, "returning", "RETURNING") == hashed("returning"), what="the service")
    assert safe.service("returning")["live"]["id"] == "returning-1"


def test_a_service_that_tells_its_secret_everywhere_is_told_of_without_it(
    safe: Platform, receiver: Receiver, github: GitHub
) -> None:
    plant(safe, "TOKEN", "one")
    telling = service("teller", also=TELLS, manifest="secrets: [TOKEN]\n")
    assert safe.deploy({**telling, "services/teller/tests.yaml": TOLD})["state"] == "failed"
    assert safe.condition("teller")["reason"] == "TestsFailed"
    report = safe.control.get("/v1/services/teller/suite").text
    assert report.count("[redacted TOKEN]") > 5
    until_sync(lambda: any(b"teller" in body for _, _, body in receiver.got), what="the news of it")
    until_sync(lambda: "reconciler/teller" in github.latest(safe.repository.head()), what="the forge to hear of it")


def told(platform: Platform, path: str) -> bytes:
    """The answer; of what never ends, all until the last that was planted."""
    content = b""
    with platform.control.stream("GET", path, headers={"Last-Event-ID": "0"}) as answer:
        for part in answer.iter_raw():
            content += part
            if path == "/v1/events" and b"teller" in content:
                break
    assert answer.status_code != 404 or ABSENT.search(path), path
    return content


def paths() -> list[str]:
    """Everything that can be looked at: what the API describes, and the pages for people."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    found = {
        route.path
        for route in routes
        if "GET" in (route.methods or ()) and not route.path.startswith(("/git/", "/assets/"))
    }
    return sorted({filled for path in found for filled in _filled(path)})


def _filled(path: str) -> Iterator[str]:
    for name in ("first", "teller"):
        filled = path
        known = {"{name}": name, "{secret}": "TOKEN", "{release}": f"{name}-1", "{sync}": "1"}
        known |= {"{receipt}": "1", "{run}": "1"}
        if "{before}" in path:
            known |= {"{name}": "changing", "{before}": "changing-1", "{after}": "changing-2"}
        for placeholder, value in known.items():
            filled = filled.replace(placeholder, value)
        assert "{" not in filled, f"say what {filled} is about"
        yield filled


def test_no_value_stands_in_any_file_process_or_answer(safe: Platform, receiver: Receiver, github: GitHub) -> None:
    """The last of this file: what the tests above planted is looked for wherever anything is kept or told."""
    assert has(safe, "first", "TOKEN") == hashed("one")
    files = [path for path in safe.data.rglob("*") if path.is_file() and not path.is_symlink()]
    names = {path.name for path in files}
    assert {"journal.db", "journal.db-wal", "current.jsonl"} <= names, "database, what it has not written back, logs"
    assert [str(path) for path in [*files, safe.output] if has_mark(path.read_bytes())] == []

    family = safe.family()
    assert len(family) > 5
    for process in family:
        proc = Path(f"/proc/{process.pid}")
        assert not has_mark((proc / "cmdline").read_bytes()), process.command
        # Only the server's own environment holds what the operator put there.
        if "inside" in process.command:
            assert not has_mark((proc / "environ").read_bytes()), process.command

    for path in paths():
        assert not has_mark(told(safe, path)), path
    heard = [body for _, _, body in receiver.got] + [json.dumps(call).encode() for call in github.calls]
    assert len(receiver.got) > 1 and len(github.calls) > 3
    assert not any(map(has_mark, heard))
    assert github.faults == []

    echoed = safe.control.put("/v1/secrets/TOKEN", json={"value": planted("x"), "extra": planted("y")})
    assert echoed.status_code == 422 and MARK not in echoed.content
    echoed = safe.control.put("/v1/secrets/TOKEN", json={"value": [planted("x")]})
    assert echoed.status_code == 422 and MARK not in echoed.content


def has_mark(content: bytes) -> bool:
    return any(mark in content for mark in MARKS)
