"""The manifest: what one service declares in its `service.yaml`, parsed and frozen.

Every field is optional. What a later version will do is read and checked as promised, and then refused as not
available: a manifest never asks for something and gets silence. Refuses to look at files: whether a path
exists, a requirement can be installed or a secret is there, is found out by those who can.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from reconciler.model.cron import NAME_EXPECTED, CronJob
from reconciler.model.diagnosis import refuse
from reconciler.model.duration import Duration
from reconciler.model.names import SERVICE_NAME, is_service_name
from reconciler.model.path import Glob, InnerPath
from reconciler.model.rate import Rate
from reconciler.model.secret_reference import Secret, SecretReference
from reconciler.model.size import Size
from reconciler.model.strict import List, Strict
from reconciler.model.variable import VariableName

NOT_YET: Final = ("access", "sleep")
"""Fields that are understood and checked, and cannot be carried out yet."""

ENTRY: Final = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
_ONCE: Final[dict[str, Any]] = {"uniqueItems": True}
_NAME: Final = f"^{SERVICE_NAME.pattern}$"
_ORIGIN: Final = r"^(\*|https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?)$"


def check_entry(entry: str) -> str:
    if not re.fullmatch(ENTRY, entry):
        module, _, attribute = entry.partition(":")
        guess = f"{module.removesuffix('.py').strip('./').replace('/', '.')}:{attribute or 'router'}"
        refuse(
            "bad-entry",
            "{name} cannot be {value}",
            expected="`module:attribute` in the service's folder, such as `router:router`",
            remedy=f"write `{guess}`" if re.fullmatch(ENTRY, guess) and len(guess) < 80 else None,
        )
    return entry


def check_name(name: str) -> str:
    if not is_service_name(name):
        refuse("bad-name", "{value} is not the name of a service", expected="the name of a folder, such as `tasks`")
    return name


def check_process(name: str) -> str:
    if not is_service_name(name):
        refuse("bad-name", "{value} cannot name a process", expected=NAME_EXPECTED)
    return name


def check_origin(origin: str) -> str:
    if not re.fullmatch(_ORIGIN, origin):
        refuse("not-valid", "{value} is not an origin", expected="`https://app.example.com`, without a path, or `*`")
    return origin


def check_command(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:
        refuse("not-valid", "a quote in {name} is not closed", remedy="close the quote")
    if not words:
        refuse("not-valid", "{name} has no command", expected='a command, such as `"celery -A tasks worker"`')
    return command


def _list_or_text(value: Any) -> str:
    return "text" if isinstance(value, str) else "list"


def _file_or_case(value: Any) -> str:
    return "file" if isinstance(value, str) else "case"


def check_requirements_file(path: str) -> str:
    if not path.endswith((".txt", ".toml")):
        refuse(
            "not-valid",
            "{name} must be a list, or the path of a requirements.txt or pyproject.toml, not {value}",
            expected="a list",
            remedy="begin each requirement with `- `",
        )
    return path


Requirements: TypeAlias = Annotated[
    Annotated[
        List[Annotated[str, Field(min_length=1, max_length=2_000)]],
        Field(max_length=500, json_schema_extra=_ONCE),
        Tag("list"),
    ]
    | Annotated[InnerPath, AfterValidator(check_requirements_file), Tag("text")],
    Discriminator(_list_or_text),
]
SuiteEntry: TypeAlias = Annotated[
    Annotated[Glob, Tag("file")] | Annotated[dict[str, Any], Tag("case")], Discriminator(_file_or_case)
]
Tests: TypeAlias = Annotated[
    Annotated[List[SuiteEntry], Field(max_length=200), Tag("list")] | Annotated[Glob, Tag("text")],
    Discriminator(_list_or_text),
]


class Timeout(Strict):
    """How long things may take."""

    start: Annotated[float, Duration("100ms", "10m")] = 30.0
    """From the start of a worker until it is ready."""
    request: Annotated[float, Duration("100ms", "1h")] = 60.0
    """One request, from its first byte to the last of the answer."""


class Limits(Strict):
    """What one worker may use; without a limit, what the machine has."""

    SYNONYMS: ClassVar[Mapping[str, str]] = {
        "cpu": "there is no limit for CPU time",
        "ram": "write `memory`",
        "disk": "there is no limit for disk space",
        "open_files": "write `files`",
        "threads": "write `processes`; threads count as processes",
    }

    memory: Annotated[int, Size("32MiB", "1TiB")] | None = None
    """Memory of one worker."""
    processes: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Processes and threads of one worker."""
    files: Annotated[int, Field(ge=64, le=1_000_000)] | None = None
    """Open files and connections of one worker."""
    body: Annotated[int, Size("0B", "1TiB")] | None = None
    """The largest request body that is accepted."""


class Access(Strict):
    """Who may call the service."""

    auth: Literal["public", "token", "jwt"] = "public"
    """What a request must carry."""
    rate: Rate | None = None
    """How many requests one client may send."""
    cors: List[
        Annotated[str, AfterValidator(check_origin), WithJsonSchema({"type": "string", "pattern": _ORIGIN})]
    ] = ()
    """Origins whose pages may call the service from a browser."""


class Manifest(Strict):
    """What one service declares."""

    SYNONYMS: ClassVar[Mapping[str, str]] = {
        "name": "remove it; the folder's name is the service's name",
        "path": "remove it; a service answers at the mount and its folder's name",
        "prefix": "remove it; a service answers at the mount and its folder's name",
        "route": "remove it; a service answers at the mount and its folder's name",
        "mount": "write it into services.yaml",
        "port": "remove it; services share the platform's port",
        "host": "remove it; services share the platform's port",
        "main": "write `entry: module:attribute`",
        "app": "write `entry: module:attribute`",
        "handler": "write `entry: module:attribute`",
        "module": "write `entry: module:attribute`",
        "dependencies": "write `requirements` for packages, `depends_on` for services",
        "packages": "write `requirements`",
        "pip": "write `requirements`",
        "environment": "write `env`",
        "variables": "write `env`",
        "schedule": "write it into a job below `cron`",
        "jobs": "write `cron`",
        "command": "write it below `processes`",
        "workers": "write `replicas` for more workers, `processes` for further commands",
        "instances": "write `replicas`",
        "scale": "write `replicas`",
        "memory": "write `limits: {memory: …}`",
        "cors": "write `access: {cors: […]}`",
        "auth": "write `access: {auth: …}`",
        "enabled": "write `suspend: true` for the opposite",
        "disabled": "write `suspend: true`",
        "python": "write `requires-python` into a pyproject.toml that `requirements` names",
    }

    version: Literal[1] = 1
    """The version of this format."""
    description: Annotated[str, Field(max_length=500, examples=["Tasks on Supabase"])] | None = None
    """One sentence for people."""
    entry: Annotated[
        str,
        AfterValidator(check_entry),
        WithJsonSchema({"type": "string", "pattern": ENTRY, "examples": ["router:router", "app.main:app"]}),
    ] = "router:router"
    """`module:attribute` of an APIRouter or of any ASGI application."""
    requirements: Requirements = ()
    """PEP 508 strings, or the path of a requirements.txt or pyproject.toml in the folder."""
    env: Annotated[
        dict[VariableName, Annotated[str, Field(max_length=32_768)]],
        Field(max_length=200, examples=[{"PAGE_SIZE": "50"}]),
    ] = Field(default_factory=dict)
    """Plain settings: environment variables and their text."""
    secrets: Annotated[List[Secret], Field(max_length=100)] = ()
    """Environment variables whose values are kept elsewhere: a name, or a reference."""
    cron: Annotated[List[CronJob], Field(max_length=100)] = ()
    """Jobs that run at their time."""
    processes: Annotated[
        dict[
            Annotated[str, AfterValidator(check_process), WithJsonSchema({"type": "string", "pattern": _NAME})],
            Annotated[str, Field(max_length=2_000), AfterValidator(check_command)],
        ],
        Field(max_length=16, examples=[{"worker": "celery -A tasks worker"}]),
    ] = Field(default_factory=dict)
    """Further commands of a release, supervised beside it."""
    tests: Tests | None = None
    """Suites: files, globs, or cases written here; without it, tests.yaml where there is one."""
    gate: Literal["tests", "none"] = "tests"
    """`tests`: a release takes traffic only when its suite passed. `none`: after the switch, report only."""
    watch_window: Annotated[float, Duration("0s", "1h")] = 60.0
    """How long a new release is watched after the switch, with the previous one ready to return."""
    fuzz: bool | Literal["gate"] = False
    """Try requests made up from the service's OpenAPI document: `true` reports only, `gate` decides with the suite."""
    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    """How many workers share the traffic."""
    sleep: Annotated[float, Duration("10s", "30d")] | None = None
    """Stop the workers after this long without a request; wake on the next one."""
    drain: Annotated[float, Duration("0s", "1h")] = 30.0
    """How long the old release may finish what it began."""
    timeout: Timeout = Timeout()
    """How long a start and a request may take."""
    limits: Limits = Limits()
    """What one worker may use."""
    access: Access | None = None
    """Who may call the service."""
    depends_on: Annotated[
        List[
            Annotated[
                str,
                AfterValidator(check_name),
                WithJsonSchema({"type": "string", "pattern": _NAME, "examples": ["auth"]}),
            ]
        ],
        Field(max_length=100, json_schema_extra=_ONCE),
    ] = ()
    """Services that are released first when both change in one sync."""
    watch: Annotated[List[Glob], Field(max_length=100, json_schema_extra=_ONCE)] = ()
    """Paths outside the folder that belong to the service, from the repository's root."""
    suspend: bool = False
    """Leave whatever runs as it is."""

    @field_validator("replicas", mode="before")
    @classmethod
    def _at_least_one(cls, replicas: Any) -> Any:
        if replicas == 0 and not isinstance(replicas, bool):
            refuse(
                "out-of-range", "{name} must be at least 1, not `0`", remedy="write `suspend: true` to stop releases"
            )
        return replicas

    @field_validator("fuzz", mode="before")
    @classmethod
    def _one_of_three(cls, fuzz: Any, info: ValidationInfo) -> Any:
        if not isinstance(fuzz, bool) and fuzz not in (None, "gate"):
            refuse("wrong-type", "{name} must be `true`, `false` or `gate`, not {value}", remedy="write true")
        if fuzz == "gate" and info.data.get("gate") == "none":
            refuse("not-valid", "`fuzz: gate` cannot decide beside `gate: none`", remedy="write true")
        return fuzz

    @field_validator("requirements", "depends_on", "watch", mode="after")
    @classmethod
    def _each_once(cls, entries: Any) -> Any:
        if isinstance(entries, tuple):
            _refuse_repeated(entries)
        return entries

    @field_validator("cron", mode="after")
    @classmethod
    def _jobs_by_name(cls, jobs: tuple[CronJob, ...]) -> tuple[CronJob, ...]:
        _refuse_repeated([job.name for job in jobs])
        return jobs

    @field_validator("secrets", mode="after")
    @classmethod
    def _secrets_by_name(
        cls, secrets: tuple[SecretReference, ...], info: ValidationInfo
    ) -> tuple[SecretReference, ...]:
        names = [secret.name for secret in secrets]
        _refuse_repeated(names)
        both = sorted(set(names) & set(info.data.get("env", ())))
        if both:
            refuse("not-valid", f"`{both[0]}` stands in both `env` and `secrets`", remedy="keep one of the two")
        return secrets

    @field_validator("depends_on", mode="after")
    @classmethod
    def _not_itself(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if isinstance(info.context, dict) and info.context.get("service") in names:
            refuse("not-valid", "a service cannot depend on itself", remedy="remove its own name")
        return names

    @field_validator("*", mode="after")
    @classmethod
    def _available(cls, value: Any, info: ValidationInfo) -> Any:
        """The last validator, so that a mistake in such a field is told in its own words first."""
        if value and info.field_name in NOT_YET:
            refuse("not-available", "{name} is not available in this version", remedy="remove it", at_key=True)
        return value

    @property
    def suites(self) -> tuple[str | Mapping[str, Any], ...] | None:
        """What `tests` names, one or many; None where the default applies."""
        return (self.tests,) if isinstance(self.tests, str) else self.tests


def configuration(manifest: Manifest, prefix: str) -> dict[str, Any]:
    """What decides how a release runs, as plain data for its digest.

    Left out is what other parts of the digest hold (requirements, watched paths), what decides only when
    something is released (suspend, depends_on) or watched (watch_window), and what is for people (description).
    """
    elsewhere = {"version", "description", "requirements", "watch", "watch_window", "depends_on", "suspend"}
    return {"prefix": prefix, **manifest.model_dump(mode="json", by_alias=True, exclude=elsewhere)}


def _refuse_repeated(entries: Any) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry in seen:
            refuse("duplicate-entry", f"{{name}} has `{entry[:80]}` twice", remedy="keep one of the two")
        seen.add(entry)
