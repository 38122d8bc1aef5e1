"""Services that tell their secrets in every way they can, and whoever looks: nobody finds one."""

import base64
import json
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.platform import COMMAND, Platform, command, environ
from tests.end_to_end.samples import PLATFORM, service
from tests.waiting import until_sync

SECRET = "sk_live_4eC39H/qLyjWD+rjtT1 'zdp7dc\""
LINES = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----\n"
SECRETS = {"STRIPE_KEY": SECRET, "SIGNING_KEY": LINES}
TRACES = (
    SECRET,
    SECRET[1:20],
    json.dumps(SECRET)[1:-1],
    repr(SECRET)[1:-1],
    urllib.parse.quote(SECRET),
    urllib.parse.quote_plus(SECRET),
    *(base64.b64encode(b"x" * n + SECRET.encode())[4:-4].decode() for n in range(3)),
    "MIIEvQIBADANBgkqhkiG9w0B",
    "AQEFAASCBKcwggSjAgEAAoIB",
    base64.b64encode(LINES.encode())[4:40].decode(),
)
MANIFEST = "secrets: [STRIPE_KEY, SIGNING_KEY]\n"

TALKATIVE = """
import base64, json, logging, subprocess, sys, urllib.parse

secret, lines = os.environ["STRIPE_KEY"], os.environ["SIGNING_KEY"]


@router.get("/talk")
async def talk_about_it():
    print(secret, repr(secret), json.dumps([secret, lines]))
    print(secret[:10], end=""); print(secret[10:], file=sys.stdout)
    print(base64.b64encode(b"x" + secret.encode()), urllib.parse.quote(secret)); print(lines)
    os.write(1, b"raw " + secret[:5].encode()); os.write(1, secret[5:].encode() + b"\\\\n")
    subprocess.run(["sh", "-c", "echo child $STRIPE_KEY"], check=True)
    try:
        raise ValueError(secret)
    except ValueError:
        logging.exception("it was %s", secret)
    quoted, b64 = urllib.parse.quote(secret), base64.b64encode(secret.encode())
    return {"it": secret, "quoted": quoted, "lines": lines, "b64": b64}


@router.get("/crash")
async def crash():
    raise RuntimeError(f"no connection with {secret}")
"""
LEAKY = """
version: 1
cases:
  - name: learn it
    GET: /talk
    expect: {status: 200}
    capture: {it: $.it, lines: $.lines}
  - name: be told what was learnt
    GET: /version
    query: {key: "${it}"}
    headers: {X-Key: "Bearer x${it}"}
    expect: {json: {$.version: "${it}"}}
  - name: compare all of it
    GET: /talk
    expect: {json: {$.it: nothing, $.quoted: nothing, $.lines: nothing, $.b64: nothing}}
  - name: compare with it
    POST: /echo
    json: {lines: "${lines}", it: "${it}"}
    expect: {body: {contains: "${lines}"}}
"""


def files_of(name: str, *, also: str = TALKATIVE, tests: str = "") -> dict[str, str]:
    suite = {f"services/{name}/tests.yaml": tests} if tests else {}
    return {**service(name, also=also, manifest=MANIFEST), **suite}


def traces_in(text: str) -> list[str]:
    return [trace for trace in TRACES if trace in text]


def texts_of(value: object) -> Iterator[str]:
    """Every text in a JSON document, as a program sees it."""
    if isinstance(value, str):
        yield value
    for item in (
        [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from texts_of(item)


def kept(platform: Platform) -> dict[str, str]:
    """What the platform has written down, but for what it installed."""
    skipped = {"environments", "cache", "locks"}
    found = [path for path in platform.data.rglob("*") if path.is_file()]
    files = [path for path in found if path.relative_to(platform.data).parts[0] not in skipped]
    return {str(path): path.read_text(errors="replace") for path in [*files, platform.output]}


def told(platform: Platform, *names: str) -> dict[str, str]:
    """What it answers to whoever may read everything."""
    paths = ["/v1/status", "/v1/services", "/v1/syncs", "/v1/secrets", "/v1/audit"]
    for name in names:
        paths += [f"/v1/services/{name}{what}" for what in ("", "/releases", "/suite", "/logs?limit=1000")]
    answers = {path: platform.control.get(path).text for path in paths}
    return {path: text + "\n".join(seen_in(text)) for path, text in answers.items()}


def seen_in(text: str) -> Iterator[str]:
    for document in (text, *text.splitlines()):
        try:
            yield from texts_of(json.loads(document))
        except ValueError:
            continue


def spoilt(texts: dict[str, str]) -> dict[str, list[str]]:
    return {where: found for where, text in texts.items() if (found := traces_in(text))}


@pytest.fixture(scope="module")
def keeping(shared: Platform) -> Platform:
    for name, value in SECRETS.items():
        assert shared.control.put(f"/v1/secrets/{name}", json={"value": value}).status_code == 200
    return shared


def test_what_a_service_says_is_kept_without_its_secrets(keeping: Platform) -> None:
    keeping.deploy(files_of("talker"))
    assert keeping.services.get("/api/talker/talk").json()["it"] == SECRET
    assert keeping.services.get("/api/talker/crash", headers={"X-Request-Id": "crash-1"}).status_code == 500
    until_sync(lambda: "no connection with" in keeping.control.get("/v1/services/talker/logs").text, what="the crash")
    until_sync(lambda: "child [redacted" in keeping.control.get("/v1/services/talker/logs").text, what="the child")
    terminal = command("logs", "talker", data=keeping.data).stdout
    assert spoilt({**kept(keeping), **told(keeping, "talker"), "the terminal": terminal}) == {}
    for line in (
        "raw [redacted STRIPE_KEY]",
        "it was [redacted STRIPE_KEY]",
        "RuntimeError: no connection with [redacted",
    ):
        assert line in terminal, line


def test_a_suite_that_fails_for_a_secret_is_told_without_it(keeping: Platform) -> None:
    sync = keeping.deploy(files_of("leaky", tests=LEAKY))
    assert sync["state"] == "failed"
    told_of_it = told(keeping, "leaky")
    status = command("status", "leaky", data=keeping.data).stdout
    history = command("history", "leaky", data=keeping.data).stdout
    played = command("test", "steady", data=keeping.data).stdout
    shown = {"status": status, "history": history, "test": played}
    assert spoilt({**kept(keeping), **told_of_it, **shown}) == {}
    report = told_of_it["/v1/services/leaky/suite"]
    assert report.count("[redacted STRIPE_KEY]") > 10 and "[redacted SIGNING_KEY]" in report
    assert keeping.condition("leaky")["reason"] == "TestsFailed"


@pytest.mark.parametrize("last", ["raise RuntimeError('x' * 400 + secret * 3)", "{}[secret, lines]", "sys.exit(lines)"])
def test_a_release_that_fails_with_its_secret_is_told_without_it(keeping: Platform, last: str) -> None:
    keeping.deploy(files_of("failing", also=f"{TALKATIVE}\n{last}\n"))
    assert keeping.condition("failing")["reason"] == "ImportFailed"
    status = command("status", "failing", data=keeping.data).stdout
    assert spoilt({**kept(keeping), **told(keeping, "failing"), "status": status}) == {}
    assert "[redac" in json.dumps(keeping.service("failing"))


@pytest.mark.parametrize("form", ["text", "junit"])
def test_check_tells_nothing_of_the_secrets_it_was_given(tmp_path: Path, template: Path, form: str) -> None:
    with Platform(tmp_path, template) as platform:
        broken = files_of("broken", also=f"{TALKATIVE}\nraise RuntimeError(secret)\n")
        platform.commit({"services.yaml": PLATFORM, **files_of("leaky", tests=LEAKY), **broken})
        platform._take_over_template()
        (platform.data / "check").mkdir()
        for name in ("environments", "locks", "cache"):
            if (platform.data / name).exists():
                (platform.data / name).rename(platform.data / "check" / name)
        words = [*COMMAND, "check", str(platform.repository.path), "--data", str(platform.data), "--format", form]
        done = subprocess.run(words, env=environ(**SECRETS), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert traces_in(done.stdout + done.stderr + "\n".join(seen_in(done.stdout))) == []
    assert "redacted STRIPE_KEY" in done.stdout
