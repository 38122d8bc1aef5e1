"""services.yaml: its own fields, defaults under and overrides over every manifest, and whose mistake is whose."""

import pytest

from reconciler.model.document import Invalid, load
from reconciler.model.manifest import Manifest
from reconciler.model.names import ServiceName
from reconciler.model.platform import (
    Platform,
    effective,
    gather,
    read_platform,
    readable_part,
    requirement_lines,
    unused_overrides,
)
from reconciler.model.problem import Problem

TASKS = ServiceName("tasks")
FILE = "services/tasks/service.yaml"


def merged(platform: str, manifest: str = "version: 1") -> Manifest:
    return effective(read_platform(platform.encode()), load(manifest.encode(), FILE), TASKS)


def places(problems: tuple[Problem, ...]) -> list[tuple[str | None, int | None, int | None, str]]:
    return [(problem.file, problem.line, problem.column, problem.code) for problem in problems]


def test_no_file_means_every_default() -> None:
    platform = read_platform(None)
    assert platform == Platform()
    assert (platform.mount, platform.services, platform.prune.allow_empty) == ("/api", "services/*", False)
    assert platform.prefix(TASKS) == "/api/tasks"


@pytest.mark.parametrize(
    ("written", "mount", "prefix"),
    [
        ("/api", "/api", "/api/tasks"),
        ("/api/", "/api", "/api/tasks"),
        ("/services/v1/api", "/services/v1/api", "/services/v1/api/tasks"),
        ("/", "/", "/tasks"),
    ],
)
def test_a_mount_is_written_in_one_way(written: str, mount: str, prefix: str) -> None:
    platform = read_platform(f"mount: {written}".encode())
    assert (platform.mount, platform.prefix(TASKS)) == (mount, prefix)


@pytest.mark.parametrize(
    "mount", ["api", "", "//", "/api//x", "/../x", "/.", "/a%2fb", "/a b", "/a?b", "/é", "/" + "a" * 300]
)
def test_a_mount_that_could_be_read_in_two_ways_is_refused(mount: str) -> None:
    with pytest.raises(Invalid) as raised:
        read_platform(f"mount: '{mount}'".encode())
    assert places(raised.value.problems) == [("services.yaml", 1, 8, "not-valid")]


def test_defaults_lie_under_and_overrides_over_a_manifest() -> None:
    manifest = merged(
        "defaults: {drain: 10s, replicas: 2, env: {A: a, B: b, C: c}, depends_on: [x, y]}\n"
        "overrides: {tasks: {replicas: 4, env: {C: over}}}",
        "drain: 20s\nenv: {B: mine}\ndepends_on: [z]",
    )
    assert (manifest.drain, manifest.replicas) == (20.0, 4)
    assert manifest.env == {"A": "a", "B": "mine", "C": "over"}
    assert manifest.depends_on == ("z",)


def test_an_empty_field_takes_a_lower_one_back() -> None:
    manifest = merged("defaults: {drain: 10s, env: {A: a, B: b}}\noverrides: {tasks: {env: {B: }}}", "drain:\n")
    assert manifest.drain == 30.0
    assert manifest.env == {"A": "a"}


def test_a_problem_points_to_the_file_that_holds_the_value() -> None:
    platform = "version: 1\noverrides:\n  tasks:\n    limits: {files: 1}\n    env: {A: 1}\n"
    with pytest.raises(Invalid) as raised:
        merged(platform, "limits: {memory: 1}\nenv: {B: 2}\nwrong: 1\n")
    assert places(raised.value.problems) == [
        ("services.yaml", 4, 21, "out-of-range"),
        ("services.yaml", 5, 14, "wrong-type"),
        (FILE, 1, 18, "wrong-type"),
        (FILE, 2, 10, "wrong-type"),
        (FILE, 3, 1, "unknown-field"),
    ]
    assert {problem.service for problem in raised.value.problems} == {"tasks"}


def test_a_wrong_default_makes_the_file_invalid() -> None:
    with pytest.raises(Invalid) as raised:
        read_platform(b"defaults:\n  drain: 30\n  version: 1\n  requirements: ['--pre']\nmont: /api\n")
    assert places(raised.value.problems) == [
        ("services.yaml", 2, 10, "wrong-type"),
        ("services.yaml", 3, 3, "not-valid"),
        ("services.yaml", 4, 18, "option-not-allowed"),
        ("services.yaml", 5, 1, "unknown-field"),
    ]


@pytest.mark.parametrize("override", ["{drain: 30}", "{version: 1}", "{nonsense: 1}", "3", "[suspend]"])
def test_a_wrong_override_harms_one_service(override: str) -> None:
    platform = read_platform(f"overrides:\n  tasks: {override}\n".encode())
    document = load(b"version: 1", FILE)
    assert effective(platform, document, ServiceName("other")) == Manifest()
    with pytest.raises(Invalid) as raised:
        effective(platform, document, TASKS)
    assert [(problem.file, problem.line) for problem in raised.value.problems] == [("services.yaml", 2)]


def test_an_override_for_nobody_is_a_warning() -> None:
    platform = read_platform(b"overrides:\n  task: {suspend: true}\n  mail: {suspend: true}\n")
    warnings = unused_overrides(platform, {"tasks", "mail"})
    assert places(warnings) == [("services.yaml", 2, 3, "unknown-service")]
    assert warnings[0].remedy == "did you mean `tasks`?"


def test_a_requirement_is_refused_at_its_place() -> None:
    with pytest.raises(Invalid) as raised:
        merged("version: 1", "requirements:\n  - httpx\n  - --index-url https://evil.example\nreplicas: 0\n")
    assert places(raised.value.problems) == [(FILE, 3, 5, "option-not-allowed"), (FILE, 4, 11, "out-of-range")]


def test_requirements_know_their_places() -> None:
    document = load(b"requirements:\n  - httpx>=0.28\n", FILE)
    lines = requirement_lines(Platform(), document, TASKS, effective(Platform(), document, TASKS))
    assert [(line.text, line.file, line.number, line.column) for line in lines] == [("httpx>=0.28", FILE, 2, 5)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("services: ../*", "path-outside"),
        ("services: /srv/*", "path-outside"),
        ("services: 'services/**'", "bad-path"),
        ("overrides: []", "wrong-type"),
        ("defaults: 3", "wrong-type"),
        ("prune: {allow_empty: yes}", "wrong-type"),
        ("prune: {allow: true}", "unknown-field"),
        ("signers: keys", "unknown-field"),
        ("version: 2", "unknown-value"),
        ("# nothing", "not-a-mapping"),
    ],
)
def test_a_mistake_in_the_file_is_explained(text: str, code: str) -> None:
    with pytest.raises(Invalid) as raised:
        read_platform(text.encode())
    assert [problem.code for problem in raised.value.problems] == [code]


def test_a_folder_that_cannot_be_a_service_harms_no_other() -> None:
    gathered = gather(["services/tasks", "services/Tasks", "services/9lives", "services/my.mail", "services/a\u202eb"])
    assert gathered.folders == {"tasks": "services/tasks"}
    assert [problem.file for problem in gathered.misnamed] == [
        "services/9lives",
        "services/Tasks",
        "services/a\u202eb",
        "services/my.mail",
    ]
    assert "differs from `services/tasks` in case only" in gathered.misnamed[1].message
    assert "\u202e" not in gathered.misnamed[2].message
    assert gathered.misnamed[3].remedy == "rename the folder, for example to `my-mail`"


def test_two_folders_that_claim_one_prefix_are_in_conflict() -> None:
    gathered = gather(["shop/api/orders", "mail/api/orders", "mail/api/inbox"])
    assert gathered.folders == {"inbox": "mail/api/inbox"}
    conflict = gathered.conflicts[ServiceName("orders")]
    assert conflict.code == "route-conflict"
    assert conflict.service == "orders"
    assert "`mail/api/orders` and `shop/api/orders`" in conflict.message


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        (b"version: 1\nservices: apps/*\nnope: 1\n", ("/api", "apps/*")),
        (b"version: 1\nmount: api\nservices: apps/*\n", ("/api", "apps/*")),
        (b"version: 1\nmount: /x/\nservices: ../*\n", ("/x", "services/*")),
        (b"version: 1\nmount: [\n", ("/api", "services/*")),
        (b"", ("/api", "services/*")),
        (None, ("/api", "services/*")),
    ],
)
def test_a_broken_file_still_says_where_services_are(text: bytes | None, readable: tuple[str, str]) -> None:
    platform = readable_part(text)
    assert (platform.mount, platform.services) == readable
