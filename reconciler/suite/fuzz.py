"""Requests made up from a service's own OpenAPI document, by Schemathesis in a process of its own.

Bounded in examples and in time, and the same every time. The document comes from a stranger: it is read by us, held to
its size, and refused when it refers to anything outside of itself, since Schemathesis would fetch that. Refuses to say
what its findings are good for.
"""

import asyncio
import base64
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from reconciler.model.suite.answer import Unreadable
from reconciler.model.verdict import CaseResult, Outcome, Response, SuiteResult, Verdict, worst
from reconciler.suite import telling
from reconciler.suite.call import OUR_ID, REQUEST_ID, Call
from reconciler.suite.exchange import Broken, TimedOut, Unreachable, ask, connect
from reconciler.suite.openapi import WHERE, NoContract, OpenApi
from reconciler.suite.relay import LOOPBACK, relay
from reconciler.suite.surroundings import surroundings
from reconciler.suite.target import Target
from reconciler.suite.telling import Redact, identity

NAME: Final = "fuzz"
NOT_THERE: Final = "fuzz needs reconciler[fuzz]: pip install 'reconciler[fuzz]'"
SECONDS: Final = 30.0
EXAMPLES: Final = 25
ANSWERS_WITHIN: Final = 5.0
LARGEST_RESULT: Final = 64 << 20
CHECKS: Final = "not_a_server_error,response_schema_conformance,content_type_conformance"
CONFIGURATION: Final = "[output.truncation]\nenabled = false\n"
"""What is quoted is cut by us, when its secrets are out of it."""
METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
NOWHERE: Final = "http://127.0.0.1:9"
"""Whatever it asks of another host goes to a proxy that is not there."""


@dataclass(frozen=True, slots=True)
class Bounds:
    seconds: float = SECONDS
    examples: int = EXAMPLES
    """For each operation; what Schemathesis derives from the document's own limits comes on top."""


@dataclass(slots=True)
class Tried:
    """What became of one operation, over all the phases of a run."""

    requests: int = 0
    seconds: float = 0.0
    failures: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    """By title: what is wrong, and the exchange that shows it."""
    error: str | None = None


DEFAULT: Final = Bounds()


async def fuzz(target: Target, file: str, bounds: Bounds = DEFAULT, *, redact: Redact = identity) -> SuiteResult:
    """Ask one candidate; `file` is where fuzzing was asked for."""
    started = time.monotonic()
    if importlib.util.find_spec("schemathesis") is None:
        return _inconclusive(file, NOT_THERE)
    try:
        document = await _document(target)
    except (NoContract, Broken, TimedOut, Unreachable) as error:
        return _inconclusive(file, telling.line(f"its OpenAPI document cannot be used: {error}", redact))
    with tempfile.TemporaryDirectory(prefix="rcl-fuzz-") as folder:
        place = Path(folder)
        (place / "openapi.json").write_text(json.dumps(document))
        (place / "schemathesis.toml").write_text(CONFIGURATION)
        async with relay(target.socket) as port:
            base = f"http://{LOOPBACK}:{port}{_mounted_at(document, target.prefix)}"
            status = await _execute(place, base, bounds)
        tried = await asyncio.to_thread(_read, place / "events.ndjson")
        output = await asyncio.to_thread((place / "output").read_text, "utf-8", "replace")
    return _told(_Run(target, file, bounds, document, status, output, time.monotonic() - started, redact), tried)


async def _document(target: Target) -> Mapping[str, Any]:
    call = Call("GET", target.prefix + WHERE, ((REQUEST_ID, f"{OUR_ID}{NAME}"),))
    async with connect(target.socket) as client:
        answer = await ask(client, call, ANSWERS_WITHIN, time.monotonic)
    OpenApi.read(answer, target.prefix)
    try:
        return dict(_closed(answer.json))
    except (Unreadable, RecursionError) as error:
        raise NoContract(str(error)) from None


def _closed(node: Any) -> Any:
    """The same document, with nothing in it that leads outside."""
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str) and not reference.startswith("#"):
        raise NoContract(f"it refers to `{reference}`, outside of itself")
    return {key: _closed(value) for key, value in node.items() if not _leads_outside(key, value)}


def _leads_outside(key: str, value: Any) -> bool:
    return key in ("externalValue", "$id", "$schema", "$dynamicRef") and isinstance(value, str)


def _mounted_at(document: Mapping[str, Any], prefix: str) -> str:
    """Frameworks write their paths with the prefix or without."""
    paths = document["paths"]
    with_prefix = paths and all(path == prefix or path.startswith(f"{prefix}/") for path in paths)
    return "" if with_prefix else prefix


async def _execute(place: Path, base: str, bounds: Bounds) -> int | None:
    """Exit status; None when time or room ran out."""
    with (place / "output").open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *_words(base, bounds), cwd=place, env=_environ(place), stdin=asyncio.subprocess.DEVNULL,
            stdout=stream, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(bounds.seconds):
                await _finish(process, place / "events.ndjson")
        except TimeoutError:
            return None
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode


async def _finish(process: asyncio.subprocess.Process, events: Path) -> None:
    ending = asyncio.ensure_future(process.wait())
    try:
        while not (await asyncio.wait([ending], timeout=0.2))[0]:
            if events.exists() and events.stat().st_size > LARGEST_RESULT:
                raise TimeoutError
    finally:
        ending.cancel()


def _words(base: str, bounds: Bounds) -> list[str]:
    return [
        sys.executable, "-I", "-m", "schemathesis.cli", "--config-file", "schemathesis.toml",
        "run", "openapi.json", "--url", base,
        "--phases", "examples,coverage,fuzzing", "--checks", CHECKS,
        "--max-examples", str(bounds.examples), "--generation-deterministic", "--seed", "1", "--workers", "1",
        "--request-timeout", f"{ANSWERS_WITHIN:g}", "--max-redirects", "0", "--no-color",
        "--suppress-health-check", "all", "--report", "ndjson", "--report-ndjson-path", "events.ndjson",
    ]  # fmt: skip


def _environ(place: Path) -> dict[str, str]:
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), NOWHERE)
    return {**surroundings(place), **proxies, "no_proxy": LOOPBACK}


def _read(events: Path) -> dict[str, Tried]:
    """By operation (`POST /tasks`). Events are written as they happen; the last line may be half a one."""
    tried: dict[str, Tried] = {}
    if not events.exists():
        return tried
    with events.open("rb") as lines:
        for line in lines:
            with suppress(ValueError):
                for kind, event in json.loads(line).items():
                    _note(kind, event, tried)
    return tried


def _note(kind: str, event: Mapping[str, Any], tried: dict[str, Tried]) -> None:
    if kind == "ScenarioFinished" and event["status"] != "skip":
        recorder = event["recorder"]
        one = tried.setdefault(recorder["label"], Tried())
        one.seconds += event["elapsed_time"]
        one.requests += len(recorder.get("interactions", ()))
        for case, checks in recorder.get("checks", {}).items():
            for title, message in _failures(checks):
                one.failures.setdefault(title, (message, recorder.get("interactions", {}).get(case, {})))
    if kind == "NonFatalError":
        info = event.get("info", {})
        said = info.get("message") or info.get("title") or "it could not be tried"
        tried.setdefault(event.get("label", "?"), Tried()).error = str(said)


def _failures(checks: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for check in checks:
        if check["status"] == "failure":
            failure = check.get("failure_info", {}).get("failure", {})
            yield failure.get("title", check["name"]), failure.get("message", "")


@dataclass(frozen=True, slots=True)
class _Run:
    target: Target
    file: str
    bounds: Bounds
    document: Mapping[str, Any]
    status: int | None
    """None: stopped by us."""
    output: str
    seconds: float
    redact: Redact

    @property
    def operations(self) -> Iterator[str]:
        for path, item in self.document["paths"].items():
            for method in METHODS:
                if isinstance(item, dict) and method in item:
                    yield f"{method.upper()} {path}"


def _told(run: _Run, tried: Mapping[str, Tried]) -> SuiteResult:
    if not tried and run.status is not None:
        said = telling.paragraph(run.redact(run.output)[-1_000:].strip(), identity, 1_000)
        return _inconclusive(run.file, f"nothing was tried\n{said}")
    named = dict.fromkeys([*run.operations, *tried])
    cases = tuple(_case(name, tried.get(name), run) for name in named)
    verdict = worst([_verdict(case) for case in cases])
    reason = f"stopped after {run.bounds.seconds:g} s" if run.status is None else None
    return SuiteResult(
        NAME, run.file, verdict, reason if verdict is not Verdict.PASSED else None, cases, run.seconds,
        sum(one.requests for one in tried.values()),
    )  # fmt: skip


def _verdict(case: CaseResult) -> Verdict:
    return {Outcome.PASSED: Verdict.PASSED, Outcome.FAILED: Verdict.FAILED}.get(case.outcome, Verdict.INCONCLUSIVE)


def _case(name: str, tried: Tried | None, run: _Run) -> CaseResult:
    outcome, reason = _outcome(tried, run)
    exchange: Mapping[str, Any] = {}
    if tried is not None and tried.failures:
        _, exchange = next(iter(tried.failures.values()))
    call, came = _request(exchange), _response(exchange, run.redact)
    return CaseResult(
        name=telling.line(name, run.redact, 200),
        part="cases",
        outcome=outcome,
        file=run.file,
        line=1,
        seconds=tried.seconds if tried else 0.0,
        attempts=tried.requests if tried else 0,
        reason=telling.paragraph(reason, run.redact, 2_000) if reason else None,
        curl=telling.curl_line(call, run.target.public, run.redact) if call else None,
        response=came,
    )


def _outcome(tried: Tried | None, run: _Run) -> tuple[Outcome, str | None]:
    if tried is None:
        return Outcome.SKIPPED, "not tried: " + ("time ran out" if run.status is None else "nothing fits its schema")
    if tried.failures:
        found = [f"{title}: {why}" if why else title for title, (why, _) in tried.failures.items()]
        return Outcome.FAILED, "; ".join(found)
    if tried.error is not None:
        return Outcome.INCONCLUSIVE, tried.error
    return Outcome.PASSED, None


def _request(exchange: Mapping[str, Any]) -> Call | None:
    request = exchange.get("request")
    if not request:
        return None
    address = urllib.parse.urlsplit(request["uri"])
    path = address.path + (f"?{address.query}" if address.query else "")
    headers = tuple((name, value) for name, values in request["headers"].items() for value in values)
    return Call(request["method"], path, headers, _content(request.get("body")) or None)


def _response(exchange: Mapping[str, Any], redact: Redact) -> Response | None:
    response = exchange.get("response")
    if not response:
        return None
    body = _content(response.get("content"))
    values = [(name, ", ".join(lines)) for name, lines in response["headers"].items()]
    headers = tuple((name, telling.line(value, redact, 300)) for name, value in values)
    text = telling.paragraph(body.decode("utf-8", "replace"), redact, telling.LONGEST_BODY)
    return Response(response["status_code"], headers[: telling.MOST_HEADERS], text, len(body))


def _content(body: Any) -> bytes:
    """Bytes are written as `{"$base64": …}`."""
    encoded = body.get("$base64", "") if isinstance(body, dict) else ""
    return base64.b64decode(encoded)


def _inconclusive(file: str, reason: str) -> SuiteResult:
    return SuiteResult(NAME, file, Verdict.INCONCLUSIVE, reason)
