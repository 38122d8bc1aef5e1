"""What a service says of its secrets, on every way that text takes out of its process."""

import base64
import json
import urllib.parse
from pathlib import Path

import pytest

from reconciler.inside.output import REQUEST, TEXT_LIMIT, Output, OutputFile, Speaker
from reconciler.inside.redaction import Redactor
from reconciler.inside.streams import OPEN_LINES, Lines, RawLines
from tests.inside.stage import Worker, Zygote
from tests.waiting import until_sync

SECRET = "sk_live_4eC39H/qLyjWD+rjtT1 \"zdp7dc'"
LINES = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----\n"
SECRETS = {"STRIPE_KEY": SECRET, "SIGNING_KEY": LINES}
TRACES = (
    SECRET,
    SECRET[2:-2],
    json.dumps(SECRET)[1:-1],
    repr(SECRET)[1:-1],
    urllib.parse.quote(SECRET),
    base64.b64encode(SECRET.encode()).decode()[:-4],
    "MIIEvQIBADANBgkqhkiG9w0B",
    "AQEFAASCBKcwggSjAgEAAoIB",
)
"""What would be found of them, were they told."""

CODE = """
import base64, json, logging, os, subprocess, sys, threading, urllib.parse, warnings
from fastapi import APIRouter
router = APIRouter()
secret, lines = os.environ["STRIPE_KEY"], os.environ["SIGNING_KEY"]

@router.get("/all")
async def everything():
    print(secret, file=sys.stderr)
    print("two", secret[:9], sep=" ", end=""); print(secret[9:])
    print(lines); print(repr(lines)); print([lines, secret]); print(json.dumps({"it": lines + secret}))
    print(base64.b64encode(b"x" + secret.encode()), base64.b64encode(lines.encode()).decode())
    print(urllib.parse.urlencode({"key": secret}), urllib.parse.quote(secret).lower())
    sys.stdout.buffer.write(secret.encode() + b"\\n")
    os.write(1, b"raw " + secret[:5].encode()); os.write(1, secret[5:].encode() + b"\\n")
    subprocess.run(["sh", "-c", 'echo "child $STRIPE_KEY" >&2; printenv SIGNING_KEY'], env=os.environ)
    logging.getLogger(secret).warning("logged %s", secret)
    try: raise ValueError(secret)
    except ValueError: logging.exception("caught with %r", lines)
    warnings.warn(secret)
    thread = threading.Thread(target=lambda: {}[secret]); thread.start(); thread.join()
    print("the end")
    os.write(2, b"the raw end\\n")

@router.get("/crash")
async def crash(): raise RuntimeError("crashed with " + secret)

@router.get("/answer")
async def answer(): return secret
"""


def found_in(text: str) -> list[str]:
    return [trace for trace in TRACES if trace in text]


def stored(folder: Path) -> str:
    """Everything in its log files, with and without what JSON adds."""
    text = "".join(file.read_text() for file in folder.iterdir())
    return text + "\n".join(json.loads(line)["message"] for line in text.splitlines())


def started(zygote: Zygote, code: str) -> Worker:
    return zygote.fork(code, secrets=SECRETS)


def test_no_output_of_a_service_holds_a_secret(zygote: Zygote) -> None:
    worker = started(zygote, CODE)
    worker.ready()
    worker.get("/all")
    with worker.private() as client:
        assert client.ask("GET", "/api/tasks/crash", x_request_id=SECRET).status == 500
    for last in ("the end", "the raw end"):
        worker.said(last)
    until_sync(lambda: "crashed with" in stored(worker.output), what="the crash")
    text = stored(worker.output)
    assert found_in(text) == []
    assert text.count("[redacted STRIPE_KEY]") >= 24 and text.count("[redacted SIGNING_KEY]") >= 10
    for kept in (
        "two [red",
        "raw [red",
        "child [red",
        "logged [red",
        "ValueError: [red",
        "KeyError: '[red",
        "caught with '",
    ):
        assert kept in text, kept
    # What it answers is its own business.
    assert worker.get("/answer").json == SECRET


@pytest.mark.parametrize(
    "last",
    [
        "raise RuntimeError(secret)",
        "raise RuntimeError('x' * 480 + secret)",
        "raise RuntimeError(secret + 'x' * 8180)",
        "import sys; sys.exit(secret)",
        "{}[lines]",
        "@router.on_event('startup')\ndef start(): raise RuntimeError(secret)",
    ],
)
def test_why_it_does_not_start_is_told_without_a_secret(zygote: Zygote, last: str) -> None:
    worker = started(zygote, CODE + last + "\n")
    failure = worker.failed()
    assert worker.exited() == 3
    told = json.dumps(failure, ensure_ascii=False) + failure["message"] + failure["detail"]
    assert found_in(told + stored(worker.output)) == []
    assert "[redac" in told and len(failure["message"]) <= 500
    for end in range(8, len(SECRET)):
        assert SECRET[:end] not in told and SECRET[-end:] not in told


def test_a_worker_cannot_find_the_secrets_of_another(zygote: Zygote) -> None:
    started(zygote, CODE).ready()
    other = zygote.fork(
        "import gc, sys\nfrom fastapi import APIRouter\nrouter = APIRouter()\n"
        "@router.get('/known')\n"
        "async def known():\n"
        "    gc.unfreeze()\n"
        "    every = [each for each in gc.get_objects() if type(each) in (dict, tuple, list)]\n"
        "    texts = {one for each in every for one in (each.values() if type(each) is dict else each)\n"
        "             if type(one) is str}\n"
        "    frame, found = sys._getframe().f_back, []\n"
        "    while frame:\n"
        "        found.append(repr(frame.f_locals)); frame = frame.f_back\n"
        "    return [[len(found), len(texts)], [one for one in [*found, *texts] if '_'.join(['sk', 'live']) in one]]\n"
    )
    other.ready()
    (frames, texts), found = other.get("/known").json
    assert frames > 10 and texts > 1000 and found == []


SPEAKER = Speaker("tasks", "tasks-1", "tasks-1.1")


def output_in(folder: Path) -> Output:
    return Output(OutputFile(folder, 10_000_000), SPEAKER, Redactor(SECRETS.items()))


def messages(folder: Path) -> list[str]:
    return [json.loads(line)["message"] for line in (folder / "current.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("before", range(TEXT_LIMIT - len(SECRET) - 2, TEXT_LIMIT + 3, 3))
def test_a_line_that_is_cut_at_its_limit_ends_with_no_part_of_a_secret(tmp_path: Path, before: int) -> None:
    output_in(tmp_path).write("stdout", "x" * before + SECRET + "y" * TEXT_LIMIT)
    (message,) = messages(tmp_path)
    assert message.endswith("[cut]") and "sk_l" not in message and len(message) < TEXT_LIMIT + 10


@pytest.mark.parametrize("kind", ["printed", "raw"])
@pytest.mark.parametrize("size", [1, 7, 4096, TEXT_LIMIT - 4])
def test_a_long_line_in_pieces_is_told_without_a_secret(tmp_path: Path, kind: str, size: int) -> None:
    text = ("x" * (TEXT_LIMIT - 10) + SECRET) * 3 + "\nnext"
    output = output_in(tmp_path)
    lines, raw = Lines(output, "stdout", 1), RawLines(output, "stdout")
    for start in range(0, len(text), size):
        piece = text[start : start + size]
        if kind == "printed":
            lines.write(piece)
        else:
            raw.feed(piece.encode())
    lines.finish()
    raw.finish()
    *told, last = messages(tmp_path)
    whole = "".join(told)
    assert last == "next" and "sk_l" not in whole and "7dc" not in whole
    # Pieces that are too long themselves are cut, as everything is.
    assert whole == ("x" * (TEXT_LIMIT - 10) + "[redacted STRIPE_KEY]") * 3 or size > 4000


def test_a_line_that_has_to_make_room_is_not_told_in_the_middle_of_a_secret(tmp_path: Path) -> None:
    lines = Lines(output_in(tmp_path), "stdout", 1)
    requests = [f"id-{number}" for number in range(2 * OPEN_LINES)]
    for piece in (SECRET[:12], SECRET[12:] + "\n"):
        for request in requests:
            REQUEST.set(request)
            lines.write(piece)
    REQUEST.set(None)
    lines.finish()
    assert messages(tmp_path) == ["[redacted STRIPE_KEY]"] * len(requests)
