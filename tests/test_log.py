"""What the platform says of itself: on its terminal, and kept."""

import ast
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import log as platform_log
from reconciler.control.veil import Veil
from reconciler.inside.output import RECORD_LIMIT
from reconciler.log.kept import MOST_IN_WINDOW, WINDOW, Kept
from reconciler.log.line import OF_LOGGING
from tests.documents import ROOT

SECRET = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said(tmp_path: Path, clock: Clock) -> Iterator[logging.Logger]:
    veil = Veil()
    veil.know({"STRIPE_KEY": SECRET})
    logger = logging.getLogger("reconciler.tested")
    logger.setLevel(logging.INFO)
    handler = Kept(tmp_path / "log", "control", veil.text, clock)
    logger.addHandler(handler)
    yield logger
    handler.close()


def kept(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "log" / "current.jsonl").read_text().splitlines()]


def test_a_line_is_kept_with_what_it_is_about(said: logging.Logger, tmp_path: Path) -> None:
    said.info("live", extra={"service": "tasks", "release": "tasks-7", "sync": 12, "revision": "main@01234567"})
    (record,) = kept(tmp_path)
    assert str(record.pop("time")).endswith("Z")
    assert record == {
        "service": "tasks",
        "release": "tasks-7",
        "worker": None,
        "request": None,
        "sync": "12",
        "process": "control",
        "stream": "log",
        "level": "INFO",
        "logger": "reconciler.tested",
        "message": "live  release=tasks-7  sync=12  revision=main@01234567",
    }


def test_no_secret_is_kept_and_no_way_in(said: logging.Logger, tmp_path: Path) -> None:
    said.warning("it said %s", SECRET, extra={"service": SECRET, "why": SECRET})
    try:
        raise ValueError(SECRET)
    except ValueError:
        said.exception("a bug")
    said.info("sign in with 1234", extra={"kept": False})
    text = (tmp_path / "log" / "current.jsonl").read_text()
    assert SECRET not in text and "1234" not in text
    assert "ValueError: [redacted STRIPE_KEY]" in text


def test_a_long_line_keeps_its_beginning_and_its_end(said: logging.Logger, tmp_path: Path) -> None:
    said.error("first %s last", "ü" * 50_000)
    (record,) = kept(tmp_path)
    assert len(json.dumps(record, ensure_ascii=False).encode()) <= RECORD_LIMIT
    assert str(record["message"]).startswith("first") and str(record["message"]).endswith("last")


def test_a_flood_is_cut_off_and_counted(said: logging.Logger, clock: Clock, tmp_path: Path) -> None:
    for number in range(MOST_IN_WINDOW + 5):
        said.info("line %d", number)
    assert len(kept(tmp_path)) == MOST_IN_WINDOW
    clock.now += WINDOW
    said.info("afterwards")
    assert [record["message"] for record in kept(tmp_path)[-2:]] == ["5 lines dropped", "afterwards"]


def test_what_ends_a_process_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    platform_log.keep(tmp_path / "log", "gateway")
    try:
        raise RuntimeError("unforeseen")
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)
    (record,) = kept(tmp_path)
    assert (record["level"], record["process"]) == ("CRITICAL", "gateway")
    assert str(record["message"]).endswith("RuntimeError: unforeseen")


def test_a_place_that_cannot_be_written_to_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    (tmp_path / "log").write_text("a file, no folder")
    platform_log.keep(tmp_path / "log", "control")
    assert "what is said here cannot be kept" in caplog.text


def test_no_fact_has_a_name_that_logging_keeps_to_itself() -> None:
    for file in (ROOT / "reconciler").rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                given = [keyword.value for keyword in call.keywords if keyword.arg == "extra"]
                names = {key for each in given if isinstance(each, ast.Dict) for key in map(_text, each.keys)}
                assert not names & OF_LOGGING, f"{file}:{call.lineno}"


def _text(key: ast.expr | None) -> object:
    return key.value if isinstance(key, ast.Constant) else None


def test_other_peoples_facts_are_not_ours(said: logging.Logger, tmp_path: Path) -> None:
    record = logging.makeLogRecord(
        {"name": "uvicorn.error", "msg": "Started", "levelno": 20, "color_message": "Started"}
    )
    said.handlers[0].emit(record)
    assert kept(tmp_path)[0]["message"] == "Started"
