"""The OpenAPI document: complete, true of what is answered, and good enough to make a client from."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from uv import find_uv_bin

from reconciler.api import Access, build
from reconciler.api.document import TAGS
from tests.api.asking import TOKEN, openapi
from tests.api.platform import Still
from tests.api.statuses import failing, service
from tests.cli.running import environment, served
from tests.downloads import kept

GENERATOR = "openapi-python-client==0.29.1"
DOCUMENT = openapi()
OPERATIONS = {
    operation["operationId"]: (f"{method.upper()} {path}", operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
PROMISED = {
    "compare_releases": "GET /v1/services/{name}/compare/{before}/{after}",
    "create_token": "POST /v1/tokens",
    "get_delivery": "GET /v1/services/{name}/delivery",
    "get_health": "GET /healthz",
    "get_openapi": "GET /v1/openapi.json",
    "get_plan": "GET /v1/plan",
    "get_readiness": "GET /readyz",
    "get_release": "GET /v1/services/{name}/releases/{release}",
    "get_run": "GET /v1/services/{name}/runs/{run}",
    "get_secret": "GET /v1/secrets/{secret}",
    "get_metrics": "GET /metrics",
    "get_service": "GET /v1/services/{name}",
    "get_service_openapi": "GET /v1/services/{name}/openapi.json",
    "get_status": "GET /v1/status",
    "get_suite": "GET /v1/services/{name}/suite",
    "get_sync": "GET /v1/syncs/{sync}",
    "get_webhook": "GET /v1/webhooks/{receipt}",
    "git_fetch": "POST /git/{repository}.git/git-upload-pack",
    "git_push": "POST /git/{repository}.git/git-receive-pack",
    "git_refs": "GET /git/{repository}.git/info/refs",
    "list_changes": "GET /v1/audit",
    "list_events": "GET /v1/events/newest",
    "list_releases": "GET /v1/services/{name}/releases",
    "list_runs": "GET /v1/services/{name}/runs",
    "list_secrets": "GET /v1/secrets",
    "list_services": "GET /v1/services",
    "list_syncs": "GET /v1/syncs",
    "list_tokens": "GET /v1/tokens",
    "list_webhooks": "GET /v1/webhooks",
    "play_suite": "POST /v1/services/{name}/test",
    "read_logs": "GET /v1/services/{name}/logs",
    "read_platform_logs": "GET /v1/logs",
    "receive_webhook": "POST /webhooks/{provider}",
    "remove_secret": "DELETE /v1/secrets/{secret}",
    "request_sync": "POST /v1/sync",
    "restart": "POST /v1/services/{name}/restart",
    "resume": "POST /v1/services/{name}/resume",
    "revoke_token": "DELETE /v1/tokens/{token}",
    "rollback": "POST /v1/services/{name}/rollback",
    "rotate_secrets_key": "POST /v1/secrets-key/rotate",
    "run_job": "POST /v1/services/{name}/cron/{job}/run",
    "set_secret": "PUT /v1/secrets/{secret}",
    "stream_events": "GET /v1/events",
    "suspend": "POST /v1/services/{name}/suspend",
}
"""Clients are generated from these: another name is another method in somebody's code."""


def test_operations_keep_their_names() -> None:
    named = {name: where for name, (where, _) in OPERATIONS.items()}
    assert {name: named.get(name) for name in PROMISED} == PROMISED
    assert named.keys() == PROMISED.keys(), "a new operation is promised here"


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_says_what_it_does_and_who_may(name: str) -> None:
    where, operation = OPERATIONS[name]
    assert operation["summary"] and operation["description"]
    assert set(operation["tags"]) < set(TAGS) and len(operation["tags"]) == 1
    for parameter in map(resolved, operation.get("parameters", ())):
        assert parameter.get("description"), parameter["name"]
    if where.split()[1] in ("/healthz", "/readyz", "/webhooks/{provider}"):
        assert "security" not in operation
    else:
        assert operation["security"] == [{"git" if name.startswith("git") else "token": []}]
        assert operation["x-scope"] in ("read", "deploy", "secrets", "admin")
        assert {"401", "403", "429"} <= operation["responses"].keys()


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_error_is_a_problem_document(name: str) -> None:
    _, operation = OPERATIONS[name]
    for status, answer in operation["responses"].items():
        assert answer["description"]
        if status < "400" or (name, status) == ("get_readiness", "503"):
            continue
        kinds = list(answer["content"])
        if name.startswith("git") and kinds == ["text/plain"]:
            continue
        assert kinds == ["application/problem+json"], status


def test_there_is_an_example_of_everything_told_and_asked_for() -> None:
    missing = set()
    for name, (_, operation) in OPERATIONS.items():
        answers = [answer for status, answer in operation["responses"].items() if status[0] in "24"]
        for part in (*answers, operation.get("requestBody", {})):
            for kind, content in part.get("content", {}).items():
                if "json" in kind and not resolved(content["schema"]).get("examples"):
                    missing.add(name)
    # What these tell or take is made by services, or by forges.
    assert missing == {"get_openapi", "get_service_openapi", "receive_webhook", "read_logs", "read_platform_logs"}


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_an_example_keeps_to_its_schema(name: str) -> None:
    examples = DOCUMENT["components"]["schemas"][name].get("examples", ())
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    for example in examples:
        jsonschema_rs.Draft202012Validator(schema).validate(example)


def test_fields_are_explained_as_in_the_source() -> None:
    fields = DOCUMENT["components"]["schemas"]["ReleaseDetail"]["properties"]
    assert fields["routes_at"]["description"] == "Where it answers, or answered, on the services port."
    assert fields["phases"]["description"] == "How long each step of its way took."


def test_the_document_is_the_same_every_time() -> None:
    assert json.dumps(build(Still(), Access(TOKEN)).openapi()) == json.dumps(DOCUMENT)


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    found: Any = DOCUMENT
    if "$ref" not in node:
        return node
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    told: dict[str, Any] = found
    return told


# A client that somebody else's program makes of it


def _fetch(folder: Path) -> None:
    words = [find_uv_bin(), "pip", "install", "-q", "--python", sys.executable, "--target", str(folder), GENERATOR]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Still, str]]:
    platform = Still(service("tasks"), service("notes"), failing("board"))
    with served(platform, tmp_path_factory.mktemp("data")) as where:
        yield platform, where


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, server: tuple[Still, str]) -> tuple[Path, Path]:
    """The generated package, and the libraries that it needs."""
    libraries, folder = kept(GENERATOR.replace("==", "-"), _fetch), tmp_path_factory.mktemp("generated")
    (folder / "config.yml").write_text("post_hooks: []\n")
    words = ["generate", "--url", f"{server[1]}/openapi.json", "--meta", "none", "--config", str(folder / "config.yml")]
    done = played(libraries, "-m", "openapi_python_client", *words, "--output-path", str(folder / "generated"))
    assert "warning" not in done.lower() and "error" not in done.lower(), done
    return libraries, folder


def played(libraries: Path, *words: str, **variables: str) -> str:
    """In a Python that has nothing but these libraries."""
    inherited = {**environment(), "PYTHONPATH": str(libraries), "TERM": "dumb", "NO_COLOR": "1", **variables}
    done = subprocess.run(
        [sys.executable, "-S", *words], env=inherited, capture_output=True, text=True, timeout=60, cwd="/"
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


SCRIPT = """
import os
from generated import AuthenticatedClient
from generated.api.access import create_token, revoke_token
from generated.api.actions import play_suite, rollback
from generated.api.events import list_events
from generated.api.platform import get_status, list_syncs, request_sync
from generated.api.secrets import set_secret
from generated.api.services import get_release, get_service, list_services
from generated.models import ProblemDocument, Rollback, Value, Wish, WishScopesItem

with AuthenticatedClient(base_url=os.environ["WHERE"], token=os.environ["TOKEN"]) as client:
    assert get_status.sync(client=client).services == 3
    page = list_services.sync(client=client, limit=2)
    assert [one.name for one in page.items] == ["board", "notes"] and page.next_ == "notes"
    assert [one.name for one in list_services.sync(client=client, after=page.next_).items] == ["tasks"]
    assert get_service.sync("board", client=client).problems[0].line == 3
    assert get_release.sync("tasks", "tasks-1", client=client).packages.additional_properties
    refused = get_service.sync_detailed("nope", client=client)
    assert refused.status_code == 404 and isinstance(refused.parsed, ProblemDocument)
    assert refused.parsed.detail == "there is no service nope"
    assert list_syncs.sync(client=client).items[0].actions == []
    assert request_sync.sync(client=client, retry=True).state == "waiting"
    assert rollback.sync("tasks", client=client, body=Rollback(to="tasks-1")).release == "tasks-1"
    assert play_suite.sync("board", client=client).verdict == "passed"
    assert list_events.sync(client=client).items[-1].id == 3
    assert set_secret.sync("STRIPE_KEY", client=client, body=Value(value="x")).warnings == ["it is poor"]
    made = create_token.sync(client=client, body=Wish(name="bot", scopes=[WishScopesItem.READ]))
    with AuthenticatedClient(base_url=os.environ["WHERE"], token=made.token) as reader:
        assert rollback.sync("tasks", client=reader).status == 403
    assert revoke_token.sync(made.id, client=client).state == "revoked"
    tag = list_services.sync_detailed(client=client).headers["etag"]
    assert list_services.sync_detailed(client=client, if_none_match=tag).status_code == 304
"""


def test_a_generated_client_works(server: tuple[Still, str], client: tuple[Path, Path]) -> None:
    platform, where = server
    libraries, folder = client
    paths = os.pathsep.join((str(libraries), str(folder)))
    played(libraries, "-c", SCRIPT, PYTHONPATH=paths, WHERE=where, TOKEN=TOKEN)
    assert platform.asked == [("person", "admin", True)]
    assert platform.actions.asked == [("rollback", "tasks", "tasks-1"), ("restart", "board", None)]


def test_a_client_is_generated_for_every_operation(client: tuple[Path, Path]) -> None:
    made = {path.stem for path in (client[1] / "generated" / "api").rglob("*.py")} - {"__init__"}
    assert made == OPERATIONS.keys()
