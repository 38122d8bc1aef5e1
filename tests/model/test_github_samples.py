"""GitHub's own samples of every event, signed as GitHub does: what becomes of each, and that the docs say so."""

import json
import re
from collections import Counter
from typing import Any

import pytest

from reconciler.model.webhook.doors import doors_from
from reconciler.model.webhook.event import Followed, Verdict, judge
from reconciler.model.webhook.received import Received
from tests import webhooks
from tests.documents import ROOT
from tests.npm import package

PAGE = ROOT / "docs" / "webhooks.md"
FOLLOWED = Followed("https://github.com/Codertocat/Hello-World.git", "master")
DOOR = doors_from(webhooks.ENVIRON)["github"]


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    index = package("@octokit/webhooks-examples", "7.6.1") / "api.github.com" / "index.json"
    told: list[dict[str, Any]] = json.loads(index.read_text())
    return told


def verdict(event: str, sample: object) -> Verdict:
    hook = webhooks.github(event, sample)
    headers = {name.lower(): (value,) for name, value in hook.headers.items()}
    return judge(DOOR.open(Received(headers=headers, body=hook.body)), FOLLOWED)


def test_every_sample_has_the_verdict_that_the_page_tells(events: list[dict[str, Any]]) -> None:
    rows = re.findall(r"^\| `([a-z_0-9]+)` \| (\d+) \| ([a-z0-9, ]+) \|$", PAGE.read_text(), re.M)
    assert sorted(rows) == sorted(_row(event) for event in events)
    assert sum(int(count) for _, count, _ in rows) == 329


def _row(event: dict[str, Any]) -> tuple[str, str, str]:
    told = Counter(verdict(event["name"], sample).state for sample in event["examples"])
    said = next(iter(told)) if len(told) == 1 else ", ".join(f"{told[state]} {state}" for state in sorted(told))
    return event["name"], str(len(event["examples"])), said


def test_a_sample_made_an_ordinary_push_is_a_reason_to_look(events: list[dict[str, Any]]) -> None:
    """None of the published ones is an update of a branch."""
    samples = next(event["examples"] for event in events if event["name"] == "push")
    sample = next(one for one in samples if one["ref"] == "refs/heads/master")
    moved = {**sample, "created": False, "before": "1" * 40, "after": "2" * 40}
    assert verdict("push", moved) == Verdict("accepted", "a push to master")
    assert verdict("push", {**moved, "deleted": True, "after": "0" * 40}).reason == "the branch master was deleted"
    assert verdict("push", {**moved, "ref": "refs/heads/topic"}).state == "ignored"
