"""What people see: on real terminals, wide and narrow, with colours and without."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.moments import lasted
from reconciler.cli.table import Cell, blocks, cut, flowed, folded, table, width, wrapped
from reconciler.cli.terminal import Screen
from tests.api.platform import Still
from tests.api.statuses import condition, failing, service
from tests.api.test_logs import record
from tests.cli.running import reconciler, served
from tests.cli.screens import plain, shown
from tests.cli.test_history import BUSY, Lived
from tests.documents import ROOT

LONG = "a sentence that says at some length what is wrong with it, " * 4
WIDE = "Größe 測試 " * 20


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("terminal")
    long = service("l" * 63, condition("Stalled", "True", "ImportFailed", LONG), description=WIDE)
    platform = Still(failing("board"), service("tasks"), long, logs=folder)
    platform.past[0] = BUSY.model_copy(update={"message": LONG})
    platform.history = Lived(platform)
    (folder / "tasks").mkdir()
    (folder / "tasks" / "current.jsonl").write_bytes(record(1) + record(2, level="ERROR", message="boom"))
    with served(platform, folder / "data"):
        yield folder / "data"


COMMANDS = [("status",), ("status", "board"), ("status", "l" * 63), ("history",), ("history", "tasks")]


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_no_line_is_wider_than_the_terminal(data: Path, columns: int) -> None:
    for words in COMMANDS:
        _, seen = shown(*words, "--data", str(data), columns=columns)
        lines = plain(seen)
        assert lines and max(map(width, lines)) <= columns, (words, seen)


def test_what_is_wrong_is_readable_on_the_narrowest(data: Path) -> None:
    code, seen = shown("status", "--data", str(data), columns=40)
    lines = plain(seen)
    assert code == 1
    at = next(number for number, line in enumerate(lines) if line.startswith("✗  board"))
    assert " ".join(line.strip() for line in lines[at + 1 : at + 3]) == "It does not import: no module named nope."


def test_colours_are_for_those_who_want_them(data: Path) -> None:
    _, coloured = shown("status", "--data", str(data))
    assert "\x1b[31m✗\x1b[0m" in coloured
    assert "\x1b" not in shown("status", "--data", str(data), NO_COLOR="1")[1]
    assert "\x1b" not in shown("status", "--data", str(data), TERM="dumb")[1]
    assert "\x1b" not in reconciler("status", "--data", str(data)).stdout


def test_logs_on_a_terminal_have_signs_and_local_times(data: Path) -> None:
    _, seen = shown("logs", "tasks", "--data", str(data), columns=80, TZ="UTC")
    assert plain(seen) == [
        "── 2026-01-02 ──",
        "03:04:06.000     tasks-1  line 1",
        "03:04:07.000  ✗  tasks-1  boom",
    ]


def test_logs_without_a_line_say_so_to_who_looks(data: Path) -> None:
    words = ("logs", "tasks", "--request", "nobody's", "--data", str(data))
    code, seen = shown(*words)
    assert (code, plain(seen)) == (0, ["reconciler: tasks has said nothing, or nothing that was asked for"])
    piped = reconciler(*words)
    assert (piped.returncode, piped.stdout, piped.stderr) == (0, "", "")


OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
EXAMPLES = re.findall(r"^    reconciler ((?:status|history|logs)\b.*?)(?: {2,}#.*)?$", OPERATIONS, re.M)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_documentation_does_what_it_says(data: Path, example: str) -> None:
    words = [word for word in example.split() if word not in ("-f", "--watch")]
    done = reconciler(*words, "--data", str(data))
    assert done.returncode == (1 if example in ("status", "status --watch") else 0), done
    assert done.stderr == ""


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 10


ROWS = [
    (Cell("✓"), Cell("tasks"), Cell(""), Cell("spare"), Cell("a message")),
    (Cell("✗"), Cell("board"), Cell(""), Cell("more"), Cell("")),
]


def test_a_pipe_gets_every_column_and_no_empty_one() -> None:
    assert table(ROWS, Screen()) == ["✓  tasks  spare  a message", "✗  board  more"]


def test_a_screen_loses_what_it_can_spare_and_then_goes_on_below() -> None:
    assert table(ROWS, Screen(26), spare=(3,)) == ["✓  tasks  spare  a message", "✗  board  more"]
    assert blocks(ROWS, Screen(20), spare=(3,)) == [["✓  tasks  spare", "   a message"], ["✗  board  more"]]
    assert blocks(ROWS, Screen(12), spare=(3,)) == [["✓  tasks", "   a message"], ["✗  board"]]


def test_what_is_too_long_for_a_line_goes_on_in_the_next() -> None:
    parts = [Cell("one two three"), Cell("four"), Cell("five")]
    assert list(flowed(parts, Screen(9))) == ["one two", "three", "four", "five"]
    assert list(flowed(parts, Screen(20))) == ["one two three  four", "five"]
    assert list(flowed([Cell("x" * 60)], Screen(10))) == [*["x" * 10] * 4, "x" * 9 + "…"]


def test_words_are_kept_together_and_letters_counted_as_they_are_wide() -> None:
    assert list(wrapped("one two three four", 9, 3)) == ["one two", "three", "four"]
    assert list(wrapped("x" * 30, 10, 2)) == ["x" * 10, "x" * 9 + "…"]
    assert (width("測試"), width("e\u0301"), cut("測試測試", 5)) == (4, 1, "測試…")


DURATIONS = {
    0.0004: "0 ms",
    0.021: "21 ms",
    0.42: "0.4 s",
    59: "59.0 s",
    65: "1 min 5 s",
    7500: "2 h 5 min",
    7200: "2 h",
}


@pytest.mark.parametrize(("seconds", "said"), DURATIONS.items())
def test_durations(seconds: float, said: str) -> None:
    assert lasted(seconds) == said


def test_painted_lines_are_folded_with_their_paint() -> None:
    assert list(folded(["ab\x1b[31mcdef\x1b[0m"], Screen(4))) == ["ab\x1b[31mcd\x1b[0m", "\x1b[31mef\x1b[0m"]
    assert list(folded(["", "測試測"], Screen(5))) == ["", "測試", "測"]
