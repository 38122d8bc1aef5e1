"""A manifest is read as PRODUCT promises it, or refused with what to write instead."""

from typing import Any

import pytest

from reconciler.model import duration, size
from reconciler.model.diagnosis import MAX_PROBLEMS
from reconciler.model.document import Invalid, parse
from reconciler.model.manifest import NOT_YET, Limits, Manifest, Timeout, configuration
from reconciler.model.problem import Problem

FILE = "services/tasks/service.yaml"
JOB = "cron: [{name: a, "


def read(text: str) -> Manifest:
    return parse(Manifest, text.encode(), FILE, "tasks")


def refused(text: str) -> list[Problem]:
    with pytest.raises(Invalid) as raised:
        read(text)
    return list(raised.value.problems)


def test_everything_has_a_default() -> None:
    manifest = read("version: 1")
    assert manifest == Manifest()
    assert manifest.entry == "router:router"
    assert manifest.requirements == ()
    assert manifest.suites is None
    assert (manifest.replicas, manifest.drain, manifest.watch_window) == (1, 30.0, 60.0)
    assert (manifest.timeout.start, manifest.timeout.request) == (30.0, 60.0)
    assert manifest.limits == Limits()


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("description: Tasks on Supabase", "description", "Tasks on Supabase"),
        ("entry: app.main:api.app", "entry", "app.main:api.app"),
        ("requirements: ['supabase>=2,<3']", "requirements", ("supabase>=2,<3",)),
        ("requirements: requirements.txt", "requirements", "requirements.txt"),
        ("requirements: app/pyproject.toml", "requirements", "app/pyproject.toml"),
        ('env: {PAGE_SIZE: "50", on: "x"}', "env", {"PAGE_SIZE": "50", "on": "x"}),
        ("tests: [tests.yaml, 'suites/*.yaml']", "suites", ("tests.yaml", "suites/*.yaml")),
        ("tests: tests.yaml", "suites", ("tests.yaml",)),
        ("tests: [{name: x, GET: /}]", "suites", ({"name": "x", "GET": "/"},)),
        ("tests: []", "suites", ()),
        ("gate: none", "gate", "none"),
        ("watch_window: 0s", "watch_window", 0.0),
        ("replicas: 3", "replicas", 3),
        ("drain: 1h", "drain", 3600.0),
        ("timeout: {start: 500ms}", "timeout", Timeout.model_validate({"start": "500ms"})),
        ("limits: {memory: 512MiB, processes: 64, files: 1024, body: 10MB}", "limits",
         Limits.model_validate({"memory": "524288KiB", "processes": 64, "files": 1024, "body": "10000kB"})),
        ("depends_on: [auth]", "depends_on", ("auth",)),
        ("watch: [shared/*, 'lib/[ab]?.py']", "watch", ("shared/*", "lib/[ab]?.py")),
        ("suspend: true", "suspend", True),
        ("requirements:", "requirements", ()),
        ("sleep:", "sleep", None),
        ("secrets: []", "secrets", ()),
        ("fuzz: false", "fuzz", False),
        ("fuzz: true", "fuzz", True),
        ("fuzz: gate", "fuzz", "gate"),
    ],
)  # fmt: skip
def test_a_field_is_read(text: str, field: str, value: Any) -> None:
    assert getattr(read(text), field) == value


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("version: 2", "unknown-value", "`1`"),
        ("version: '1'", "unknown-value", "`1`"),
        ("requirments: []", "unknown-field", "did you mean `requirements`?"),
        ("dependson: [a]", "unknown-field", "did you mean `depends_on`?"),
        ("depends-on: [a]", "unknown-field", "did you mean `depends_on`?"),
        ("port: 80", "unknown-field", "share the platform's port"),
        ("name: tasks", "unknown-field", "the folder's name"),
        ("environment: {}", "unknown-field", "write `env`"),
        (f"{'x' * 500}: 1", "unknown-field", "remove it"),
        ("limits: {ram: 1GiB}", "unknown-field", "write `memory`"),
        ("limits: {memry: 1GiB}", "unknown-field", "did you mean `memory`?"),
        ("description: 3.10", "wrong-type", 'put it in quotes: "3.10"'),
        ("description: true", "wrong-type", "truth value"),
        ("description: [a]", "wrong-type", "not a list"),
        (f"description: {'x' * 501}", "out-of-range", "500 characters"),
        ("entry: router.py", "bad-entry", "write `router:router`"),
        ("entry: app/main.py:app", "bad-entry", "write `app.main:app`"),
        ("entry: /etc/passwd:x", "bad-entry", "write `etc.passwd:x`"),
        ("entry: ../x:router", "bad-entry", "module:attribute"),
        ("entry: router:__import__('os')", "bad-entry", "module:attribute"),
        ("requirements: httpx>=1", "not-valid", "begin each requirement with `- `"),
        ("requirements: [1]", "wrong-type", "quotes"),
        ("requirements: {httpx: '1'}", "wrong-type", "must be a list"),
        ("requirements: ../requirements.txt", "path-outside", "remove the `..`"),
        ("requirements: [httpx, httpx]", "duplicate-entry", "`httpx` twice"),
        ("env: {PAGE_SIZE: 50}", "wrong-type", "put it in quotes"),
        ("env: {DEBUG: true}", "wrong-type", "put it in quotes"),
        ("env: {A: }", "wrong-type", '`""` for an empty one'),
        ("env: [A]", "wrong-type", "must be a mapping"),
        ("env: {1A: x}", "bad-name", "not beginning with a digit"),
        ("env: {A-B: x}", "bad-name", "letters, digits and `_`"),
        ("env: {PATH: x}", "reserved-name", "choose another name"),
        ("env: {path: x}", "reserved-name", "choose another name"),
        ("env: {LD_PRELOAD: x}", "reserved-name", "choose another name"),
        ("env: {PYTHONPATH: x}", "reserved-name", "choose another name"),
        ("env: {UV_INDEX_URL: x}", "reserved-name", "choose another name"),
        ("env: {RECONCILER_TOKEN: x}", "reserved-name", "choose another name"),
        ("secrets: [LD_PRELOAD]", "reserved-name", "choose another name"),
        ("secrets: [{name: A, from: 'env:RECONCILER_TOKEN'}]", "reserved-name", "reserved"),
        ("secrets: [{name: A, from: sk_live_1}]", "not-valid", "never write the secret itself"),
        ("secrets: [{name: A, from: 'vault:a#b'}]", "not-available", "not available in this version"),
        ("secrets: [{name: A, from: 'store:B#C'}]", "not-valid", "takes a name and no `#`"),
        ("secrets: [{name: A, from: 'env:UV_INDEX'}]", "reserved-name", "reserved"),
        ("secrets: [{name: A, from: 'store:no-name'}]", "bad-name", "is not a name for an environment variable"),
        ("secrets: [{name: A, from: 'stor:a'}]", "unknown-value", "did you mean `store`?"),
        ("secrets: [{name: A, value: x}]", "unknown-field", "reconciler secrets set"),
        ("secrets: [{from: 'env:A'}]", "missing-field", "add `name: …`"),
        ("secrets: [A, A]", "duplicate-entry", "`A` twice"),
        ("env: {A: x}\nsecrets: [A]", "not-valid", "both `env` and `secrets`"),
        (JOB + "schedule: '0 0 30 2 *', call: 'a:b'}]", "never-fires", "none of its months has that day"),
        (JOB + "schedule: '0 0 30-31 2 *', call: 'a:b'}]", "never-fires", "none of its months"),
        (JOB + "schedule: '0 0 */30 2 5#5', call: 'a:b'}]", "never-fires", "no day fits"),
        (JOB + "schedule: '* * * * * *', call: 'a:b'}]", "bad-schedule", "6 fields; a schedule has five"),
        (JOB + "schedule: '61 * * * *', call: 'a:b'}]", "bad-schedule", "the minute"),
        (JOB + "schedule: '* * 32 * *', call: 'a:b'}]", "bad-schedule", "the day of the month"),
        (JOB + "schedule: '@dayly', call: 'a:b'}]", "bad-schedule", "did you mean `@daily`?"),
        (JOB + "schedule: '@daily'}]", "not-valid", "either `request` or `call`"),
        (JOB + "schedule: '@daily', call: 'a:b', request: GET /}]", "not-valid", "not both"),
        (JOB + "schedule: '@daily', request: nightly}]", "not-valid", "POST /jobs/nightly"),
        (JOB + "schedule: '@daily', request: 'GET http://evil.example/'}]", "not-valid", "a method and a path"),
        (JOB + "schedule: '@daily', call: nightly}]", "not-valid", "`module:function`"),
        (JOB + "schedule: '@daily', call: 'a:b', timezone: Europe/Madri}]", "unknown-value", "`Europe/Madrid`?"),
        (JOB + "schedule: '@daily', call: 'a:b', timezone: ../../etc/passwd}]", "unknown-value", "IANA"),
        (JOB + "schedule: '@daily', call: 'a:b', catch_up: all}]", "unknown-value", "write `all(100)`"),
        (JOB + "schedule: '@daily', call: 'a:b', catch_up: all(5000)}]", "unknown-value", "up to 1,000"),
        (JOB + "schedule: '@daily', request: GET /, arguments: {a: 1}}]", "not-valid", "remove `arguments`"),
        ("cron: [{name: A, schedule: '@daily', call: 'a:b'}]", "bad-name", "cannot name a job"),
        (JOB + "schedule: '@daily', call: a:b}, {name: a, schedule: '@daily', call: b:c}]", "duplicate-entry", "twice"),
        ("processes: {worker: \"celery 'x\"}", "not-valid", "close the quote"),
        ("processes: {worker: ' '}", "not-valid", "has no command"),
        ("processes: {Worker: celery}", "bad-name", "cannot name a process"),
        ("tests: [../tests.yaml]", "path-outside", "remove the `..`"),
        ("tests: [/etc/passwd]", "path-outside", "write it relative"),
        ("tests: ['tests/**']", "bad-path", "one `*` for each level"),
        ("gate: test", "unknown-value", "did you mean `tests`?"),
        ("fuzz: 1", "wrong-type", "write true"),
        ("replicas: 0", "out-of-range", "suspend: true"),
        ("replicas: 65", "out-of-range", "at most 64"),
        ("replicas: 1_0", "wrong-type", "write 10"),
        ("replicas: 010", "wrong-type", "write 10"),
        ("replicas: 1.5", "wrong-type", "whole number"),
        ("replicas: true", "wrong-type", "whole number"),
        ("drain: 30", "wrong-type", "write `30s` if you mean seconds"),
        ("drain: 30 s", "wrong-type", "write `30s`"),
        ("drain: 22:22", "wrong-type", "a duration such as `30s`"),
        ("drain: -5s", "wrong-type", "a duration such as `30s`"),
        ("drain: 2h", "out-of-range", "from 0s to 1h"),
        ("timeout: 30s", "wrong-type", "must be a mapping"),
        ("timeout: {start: 0s}", "out-of-range", "from 100ms to 10m"),
        ("limits: {memory: 512m}", "wrong-type", "write `512MiB`"),
        ("limits: {memory: 512}", "wrong-type", "add the unit"),
        ("limits: {memory: 1MiB}", "out-of-range", "from 32MiB"),
        ("limits: {files: 1}", "out-of-range", "at least 64"),
        ("access: {auth: basic}", "unknown-value", "`token`"),
        ("access: {rate: 600/min}", "not-valid", "600/minute"),
        ("access: {cors: [app.example.com]}", "not-valid", "https://app.example.com"),
        ("depends_on: auth", "wrong-type", "begin each entry with `- `"),
        ("depends_on: [Auth]", "bad-name", "the name of a folder"),
        ("depends_on: [a, a]", "duplicate-entry", "twice"),
        ("watch: [/etc/*]", "path-outside", "write it relative"),
        ("watch: [../other]", "path-outside", "remove the `..`"),
        ("watch: ['a\\b']", "path-outside", "with `/`"),
        ("watch: [.git/config]", "path-outside", "git's own"),
        ("watch: [./shared]", "bad-path", "a plain path"),
        ("watch: [shared//x]", "bad-path", "a plain path"),
        ("watch: ['a[b']", "bad-path", "close it"),
        (f"watch: [{'x' * 300}]", "bad-path", "too long"),
        ("watch: [*]", "syntax", "quote it"),
        ("suspend: yes", "wrong-type", "write true"),
        ("suspend: off", "wrong-type", "write false"),
    ],
)  # fmt: skip
def test_a_mistake_is_explained(text: str, code: str, says: str) -> None:
    problems = refused(text)
    assert problems[0].code == code
    told = " ".join(filter(None, (problems[0].message, problems[0].expected, problems[0].remedy)))
    assert says in told
    assert all(
        problem.line and problem.column and problem.service == "tasks" for problem in problems if code != "syntax"
    )


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("access", "access: {auth: token}"),
        ("sleep", "sleep: 15m"),
    ],
)
def test_what_is_not_built_yet_is_refused_by_name(field: str, text: str) -> None:
    assert field in NOT_YET
    problem = refused(text)[0]
    assert (problem.code, problem.message) == ("not-available", f"`{field}` is not available in this version")
    assert (problem.line, problem.column) == (1, 1)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    problems = refused("entry: x\nenv: {A: 1}\nlimits:\n  memory: 1\n  files: x\nsuspend: yes\nunknown: 1\n")
    assert [problem.line for problem in problems] == [1, 2, 4, 5, 6, 7]


def test_no_more_than_fifty_are_told() -> None:
    problems = refused("env:\n" + "".join(f"  A{n}: {n}\n" for n in range(190)))
    assert len(problems) == MAX_PROBLEMS
    assert problems[-1].code == "more-problems"
    assert [problem.line for problem in problems] == list(range(2, 52))


def test_a_setting_or_a_secret_is_never_quoted() -> None:
    for text in ("env: {A: 12345678}", "env:\n  hunter 2: x", "secrets: [{name: A, from: hunter2}]", "env: hunter2"):
        for problem in refused(text):
            told = " ".join(filter(None, (problem.message, problem.excerpt, problem.expected, problem.remedy)))
            assert "hunter2" not in told
            assert "12345678" not in told


def test_a_service_does_not_depend_on_itself() -> None:
    from reconciler.model.document import load
    from reconciler.model.names import ServiceName
    from reconciler.model.platform import Platform, effective

    with pytest.raises(Invalid, match="cannot depend on itself"):
        effective(Platform(), load(b"depends_on: [tasks]", FILE), ServiceName("tasks"))


def test_the_configuration_holds_what_runs_and_nothing_for_people() -> None:
    one = configuration(read("description: a\nwatch_window: 5s\nsuspend: true\ndepends_on: [x]"), "/api/tasks")
    other = configuration(read("version: 1"), "/api/tasks")
    assert one == other
    assert one != configuration(read("version: 1"), "/v1/tasks")
    assert one != configuration(read("env: {A: b}"), "/api/tasks")
    assert one != configuration(read("limits: {memory: 1GiB}"), "/api/tasks")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300ms", 0.3), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("1d2h3m4s5ms", 93784.005), ("0s", 0), ("1.5s", 1.5),
     ("", None), ("30", None), ("s", None), ("5m5m", None), ("30s1m", None), ("1e3s", None), ("１s", None)],
)  # fmt: skip
def test_durations(text: str, seconds: float | None) -> None:
    assert duration.seconds(text) == seconds
    if seconds is not None:
        assert duration.seconds(duration.written(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "octets"),
    [("512MiB", 512 * 2**20), ("10MB", 10**7), ("1.5GiB", 3 * 2**29), ("0B", 0), ("1kB", 1000),
     ("512", None), ("512m", None), ("MiB", None), ("-1MB", None), ("1 MB", None)],
)  # fmt: skip
def test_sizes(text: str, octets: int | None) -> None:
    assert size.octets(text) == octets
    if octets is not None:
        assert size.octets(size.written(octets)) == octets
