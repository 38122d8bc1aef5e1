"""What people who are not looking are told, from a commit to the request at their door."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.model.standard_webhooks import Key, verify
from tests.end_to_end.platform import Platform, eventually
from tests.end_to_end.samples import PLATFORM, service
from tests.notification.test_notification import Receiver, receiving

SECRET = "whsec_" + base64.b64encode(b"n" * 32).decode()
PATH = "/T0/a-path-that-nobody-guesses"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(500) as made:
        yield made


def told(receiver: Receiver) -> list[tuple[str, str]]:
    """Types and services, each once: the first attempt is answered with 500."""
    bodies: dict[str, dict[str, Any]] = {headers["webhook-id"]: json.loads(body) for _, headers, body in receiver.got}
    return [(one["type"], one["data"].get("service", "")) for one in bodies.values()]


def test_failures_and_recoveries_reach_who_was_named_once_each(platform: Platform, receiver: Receiver) -> None:
    platform.variables = {
        "RECONCILER_NOTIFY": f"http://127.0.0.1:{receiver.port}{PATH}",
        "RECONCILER_ALLOW_NOTIFY": "127.0.0.1",
        "RECONCILER_NOTIFY_SECRET": SECRET,
    }
    platform.commit({"services.yaml": PLATFORM, **service("tasks"), **service("notes")})
    platform.start()
    platform.deploy({"services/tasks/router.py": "import nothing_like_it\n"})
    platform.deploy({"services/notes/service.yaml": "version: 1\nnonsense: true\n"})
    eventually(lambda: len(told(receiver)) == 2, what="two failures")
    platform.kill("control")
    eventually(platform.is_ready, within=30)
    platform.deploy(service("tasks", "2"))
    platform.deploy(service("notes"))
    expected = [
        ("service.failed", "tasks"),
        ("service.failed", "notes"),
        ("service.recovered", "tasks"),
        ("service.recovered", "notes"),
    ]
    eventually(lambda: told(receiver) == expected, within=20, what="four pieces of news")
    for path, headers, body in receiver.got:
        assert path == PATH
        signature = headers["webhook-signature"]
        verify([Key.parse(SECRET)], headers["webhook-id"], headers["webhook-timestamp"], signature, body, time.time())
    assert "ManifestInvalid" in json.loads(receiver.got[2][2])["data"]["message"]
    assert PATH not in platform.said() and SECRET not in platform.said()


def test_an_address_that_cannot_be_is_one_clear_line(platform: Platform) -> None:
    platform.variables = {"RECONCILER_NOTIFY": "https://ops.example/a-path-that-nobody-guesses"}
    platform.commit({"services.yaml": PLATFORM, **service("tasks")})
    assert platform.begin().wait(30) == 2
    assert "RECONCILER_NOTIFY_SECRET" in platform.said() and "nobody-guesses" not in platform.said()
