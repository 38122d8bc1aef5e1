"""The page about hostile input tells the truth: each row has a test that exists, and the corpus is counted right."""

import re
from collections import Counter
from collections.abc import Iterable

import pytest

from tests.documents import ROOT
from tests.manifest.corpus import CORPUS as MANIFESTS
from tests.source.test_hostile_folders import CORPUS as FOLDERS

PAGE = (ROOT / "docs" / "hostile-input.md").read_text()
ROWS = re.findall(r"^\| ([GYDA]-\d+) \|(.*)$", PAGE, re.M)
ASKED_FOR = {
    "G": (1, 3, 4, 5, 6, 7, 8, 10, 11, 13, 14, 18, 19, 20, 21, 22, 23, 24, 27, 28, 31, 32, 34, 35, 37),
    "Y": (2, 3, 4, 8, 10, 12, 13, 15, 16, 18, 19),
    "D": (1, 2, 3, 5, 6, 7, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20),
    "A": (3, 4),
}


def test_every_row_is_there_once() -> None:
    asked_for = [f"{group}-{number:02}" for group, numbers in ASKED_FOR.items() for number in numbers]
    assert [row for row, _ in ROWS] == asked_for


@pytest.mark.parametrize(("row", "text"), ROWS, ids=[row for row, _ in ROWS])
def test_a_row_names_tests_that_exist(row: str, text: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert named, row
    for file, test in named:
        assert f"\ndef {test}(" in (ROOT / file).read_text(), f"{file}::{test}"


@pytest.mark.parametrize(
    ("group", "verdicts"),
    [
        ("manifests", [hostile.code for hostile in MANIFESTS]),
        ("folders", [str(hostile.values[1]) for hostile in FOLDERS]),
    ],
    ids=["manifests", "folders"],
)
def test_the_corpus_is_counted_right(group: str, verdicts: Iterable[str]) -> None:
    counted = Counter(verdicts)
    listed = ", ".join(
        f"`{code}` {count}" for code, count in sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    )
    assert f"| {group} | {counted.total()} | {len(counted)}: {listed} |" in PAGE
