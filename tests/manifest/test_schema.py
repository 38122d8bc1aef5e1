"""The published schemas are those of the models, accept what is promised and refuse what a schema can refuse."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from reconciler.model.document import load
from reconciler.model.schema import SCHEMAS, published, schema_of

ROOT = Path(__file__).parents[2]
TEN = Path(__file__).parent / "ten_mistakes"

SERVICE = """
version: 1
description: Tasks on Supabase
entry: router:router
requirements: [supabase>=2]
env: {PAGE_SIZE: "50"}
secrets:
  - SUPABASE_URL
  - {name: STRIPE_SECRET_KEY, from: "vault:payments/stripe#secret_key"}
  - {name: SENTRY_DSN, optional: true}
cron:
  - {name: nightly, schedule: "0 2 * * *", timezone: Europe/Madrid, request: POST /jobs/nightly}
  - {name: prune, schedule: "@hourly", call: "jobs:prune", timeout: 5m, overlap: skip, catch_up: latest}
processes: {worker: celery -A tasks worker}
tests: [tests.yaml, {name: inline, GET: /, expect: {status: 200}}]
gate: tests
watch_window: 60s
fuzz: true
replicas: 1
sleep: 15m
drain: 30s
timeout: {start: 30s, request: 60s}
limits: {memory: 512MiB, processes: 64, files: 1024, body: 10MiB}
access: {auth: public, rate: 600/minute, cors: [https://app.example.com]}
depends_on: [auth]
watch: [shared/*]
suspend: false
"""
SERVICES = """
version: 1
mount: /api
services: services/*
defaults: {drain: 30s, sleep: }
overrides: {reports: {suspend: true}, quiet: }
prune: {allow_empty: false}
"""


def validator(kind: str) -> Any:
    return jsonschema_rs.Draft202012Validator(schema_of(kind))


def data(text: str) -> dict[str, Any]:
    return load(text.encode(), "file.yaml").data


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_file_in_docs_is_the_schema(kind: str) -> None:
    """Renew it with `reconciler schema KIND > docs/schemas/KIND.schema.json`."""
    assert (ROOT / "docs" / "schemas" / f"{kind}.schema.json").read_text() == published(kind)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_schema_is_one(kind: str) -> None:
    jsonschema_rs.meta.validate(schema_of(kind))


@pytest.mark.parametrize(
    ("kind", "text"),
    [("service", SERVICE), ("service", "version: 1"), ("services", SERVICES), ("services", "version: 1")],
)
def test_what_is_promised_is_valid(kind: str, text: str) -> None:
    assert [error.message for error in validator(kind).iter_errors(data(text))] == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("service", "version: 2"),
        ("service", "requirments: []"),
        ("service", "entry: router.py"),
        ("service", "requirements: ../x.txt"),
        ("service", "env: {PAGE_SIZE: 50}"),
        ("service", "env: {LD_PRELOAD: x}"),
        ("service", "secrets: [PATH]"),
        ("service", "secrets: [{name: A, from: sk_live}]"),
        ("service", "cron: [{name: a, schedule: '* * * * * *', call: 'a:b'}]"),
        ("service", "cron: [{name: a, schedule: '@daily'}]"),
        ("service", "cron: [{name: a, schedule: '@daily', call: 'a:b', request: GET /}]"),
        ("service", "processes: {Worker: x}"),
        ("service", "gate: test"),
        ("service", "replicas: 0"),
        ("service", "drain: 30"),
        ("service", "limits: {memory: 512m}"),
        ("service", "limits: {ram: 1GiB}"),
        ("service", "access: {rate: 600/min}"),
        ("service", "depends_on: auth"),
        ("service", "depends_on: [a, a]"),
        ("service", "watch: [../shared]"),
        ("service", "watch: ['shared/**']"),
        ("service", "suspend: yes"),
        ("services", "mount: api"),
        ("services", "mont: /api"),
        ("services", "services: ../*"),
        ("services", "defaults: {version: 1}"),
        ("services", "defaults: {drain: 30}"),
        ("services", "overrides: {tasks: {suspend: yes}}"),
        ("services", "prune: {allow: true}"),
    ],
)
def test_a_mistake_is_underlined_in_the_editor(kind: str, text: str) -> None:
    assert not validator(kind).is_valid(data(text))


def test_the_ten_mistakes_are_underlined() -> None:
    orders = (TEN / "services" / "orders" / "service.yaml").read_text()
    assert len(list(validator("service").iter_errors(data(orders)))) == 8


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_field_is_explained(kind: str) -> None:
    unexplained = [
        f"{name}.{field}"
        for name, model in {kind: schema_of(kind), **schema_of(kind).get("$defs", {})}.items()
        for field, described in model.get("properties", {}).items()
        if not described.get("description", "").endswith(".")
    ]
    assert unexplained == []


def test_defaults_stand_as_people_write_them() -> None:
    fields = schema_of("service")["properties"]
    assert (fields["drain"]["default"], fields["watch_window"]["default"]) == ("30s", "1m")
    assert json.loads(published("service")) == schema_of("service")
