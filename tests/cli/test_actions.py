"""Acting on one service by command: what is asked of the server, what is printed, how it ends."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.platform import Still
from tests.api.statuses import service
from tests.cli.running import Done, reconciler, served


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Still, Path]]:
    folder = tmp_path_factory.mktemp("acting")
    still = Still(service("tasks"), service("red"))
    with served(still, folder / "data"):
        yield still, folder / "data"


ACTIONS = [
    (("rollback", "tasks"), ("rollback", "tasks", None)),
    (("rollback", "tasks", "--to", "tasks-7"), ("rollback", "tasks", "tasks-7")),
    (("suspend", "tasks"), ("suspend", "tasks", None)),
    (("resume", "tasks"), ("resume", "tasks", None)),
    (("restart", "tasks"), ("restart", "tasks", None)),
]
REFUSED = [
    (("restart", "nobody"), "there is no service nobody"),
    (("rollback", "tasks", "--to", "nothing-1"), "nothing-1 is not kept any more"),
    (("suspend", "../v1"), "not found"),
]
FORMS = [
    ("text", "✗ says hello\n  --> services/red/tests.yaml:4"),
    ("tap", "not ok 1 - tests.yaml: says hello"),
    ("junit", '<failure message="status'),
    ("github", "::error file=services/red/tests.yaml,line=5"),
]
EXPORTS = [
    ("curl", "curl -i http://127.0.0.1:8000/api/red/hello\n"),
    ("hurl", "GET {{base_url}}/hello\nHTTP 200\n"),
]


@pytest.mark.parametrize(("words", "asked"), ACTIONS, ids=[" ".join(words) for words, _ in ACTIONS])
def test_asks_the_server(
    platform: tuple[Still, Path], words: tuple[str, ...], asked: tuple[str, str, str | None]
) -> None:
    still, data = platform
    done = reconciler(*words, "--data", str(data))
    assert (done.returncode, done.stdout) == (0, f"✓ tasks: {words[0]} done\n")
    assert still.actions.asked[-1] == asked


@pytest.mark.parametrize(("words", "why"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_says_why_it_cannot_be_done(platform: tuple[Still, Path], words: tuple[str, ...], why: str) -> None:
    done = reconciler(*words, "--data", str(platform[1]))
    assert done.returncode == 2 and why.lower() in done.stderr.lower(), done


def red(data: Path, *words: str) -> Done:
    return reconciler("test", "red", *words, "--data", str(data))


def test_a_test_that_passes_is_good(platform: tuple[Still, Path]) -> None:
    done = reconciler("test", "tasks", "--data", str(platform[1]))
    assert (done.returncode, done.stdout) == (0, "passed: tasks (tasks-1): no case was played in 0 ms\n")


@pytest.mark.parametrize(("form", "expected"), FORMS)
def test_a_report_in_every_format(platform: tuple[Still, Path], form: str, expected: str) -> None:
    done = red(platform[1], "--format", form)
    assert done.returncode == 1 and expected in done.stdout, done.stdout


def test_a_report_as_json_is_whole(platform: tuple[Still, Path]) -> None:
    told = json.loads(red(platform[1], "--format", "json").stdout)
    assert (told["verdict"], told["suites"][0]["cases"][0]["outcome"]) == ("failed", "failed")


@pytest.mark.parametrize(("kind", "expected"), EXPORTS)
def test_failing_cases_can_be_taken_along(platform: tuple[Still, Path], kind: str, expected: str) -> None:
    assert red(platform[1], "--export", kind).stdout == expected
