"""The platform's own file, `services.yaml`, and what it makes of every manifest.

Without the file, everything has its default. A mistake in it that touches all services (the mount, the glob,
the defaults) makes the whole file invalid, and everything keeps running as it is; a mistake below `overrides`
harms that one service only. Positions always name the file in which the offending value stands.
"""

import contextlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, ValidationError, WithJsonSchema

from reconciler.model.diagnosis import in_order, refuse
from reconciler.model.document import Document, Invalid, Part, load, validate
from reconciler.model.failure import Stalled
from reconciler.model.layers import Layer, Layers
from reconciler.model.manifest import Manifest
from reconciler.model.names import ServiceName, is_service_name
from reconciler.model.path import Glob
from reconciler.model.position import Origin
from reconciler.model.problem import Problem
from reconciler.model.requirement import from_list
from reconciler.model.requirement_line import Line
from reconciler.model.strict import Strict
from reconciler.model.suggestion import did_you_mean

FILE: Final = "services.yaml"
MANIFEST: Final = "service.yaml"
MOUNT: Final = r"^/([A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*/?)?$"
OWN_ONLY: Final = frozenset({"version"})
"""Fields of a manifest that only the manifest itself can hold."""


def read_mount(mount: str) -> str:
    """The mount without a slash at its end; `/` alone stays."""
    steps = mount.strip("/").split("/")
    if not re.fullmatch(MOUNT, mount) or len(mount) > 200 or not {".", ".."}.isdisjoint(steps):
        better = "/" + "/".join(step for step in steps if step)
        refuse(
            "not-valid",
            "{name} cannot be {value}",
            expected="a path such as `/api` or `/services/v1/api`, of letters, digits and `._~-`",
            remedy=f"write `{better}`" if re.fullmatch(MOUNT, better) and better != mount else None,
        )
    return mount.rstrip("/") or "/"


class Prune(Strict):
    """What may be taken away."""

    allow_empty: bool = False
    """Let a listing without any service unmount everything."""
    allow_most: bool = False
    """Let one revision unmount nine of ten services, or more, where at least ten run."""


class PlatformFile(Strict):
    """What one repository says about all its services."""

    SYNONYMS: ClassVar[Mapping[str, str]] = {
        "prefix": "write `mount`",
        "path": "write `mount` for where services answer, `services` for where they are",
        "folder": "write `services: services/*`",
        "default": "write `defaults`",
        "branch": "the branch is the operator's: `reconciler serve --branch`",
        "poll": "the interval is the operator's: `reconciler serve --poll`",
        "port": "the port is the operator's: `reconciler serve --port`",
        "signers": "whom to trust is the operator's: `reconciler serve --signers`",
        "token": "whom to trust is the operator's: `reconciler token create`",
    }

    version: Literal[1] = 1
    """The version of this format."""
    mount: Annotated[
        str,
        AfterValidator(read_mount),
        WithJsonSchema(
            {"type": "string", "pattern": MOUNT, "maxLength": 200, "examples": ["/api", "/services/v1/api"]}
        ),
    ] = "/api"
    """A service answers at `{mount}/{name}/…`."""
    services: Glob = "services/*"
    """Glob of the service folders."""
    defaults: dict[str, Any] = Field(default_factory=dict)
    """Manifest fields for every service, merged under its own."""
    overrides: dict[str, Any] = Field(default_factory=dict, max_length=5_000)
    """Manifest fields by service, merged over its own: the operator's word."""
    prune: Prune = Prune()
    """What may be taken away when git no longer holds it."""


@dataclass(frozen=True, slots=True)
class Platform:
    mount: str = "/api"
    services: str = "services/*"
    prune: Prune = field(default_factory=Prune)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    document: Document | None = None

    def prefix(self, name: ServiceName) -> str:
        return f"{self.mount.rstrip('/')}/{name}"


def read_platform(text: bytes | None, file: str = FILE) -> Platform:
    """The file as it stands at the repository's root; None where there is none."""
    if text is None:
        return Platform()
    document = load(text, file)
    problems: list[Problem] = []
    try:
        read = validate(PlatformFile, document.data, document)
    except Invalid as invalid:
        problems += invalid.problems
    problems += _default_problems(document)
    if problems:
        raise Invalid(in_order(problems))
    return Platform(read.mount, read.services, read.prune, read.defaults, read.overrides, document)


def readable_part(text: bytes | None, file: str = FILE) -> Platform:
    """Where a broken file says that services are, so that their manifests can be looked at all the same."""
    try:
        data = load(text or b"", file).data
    except Invalid:
        return Platform()
    read = PlatformFile()
    for name in ("mount", "services"):
        with contextlib.suppress(ValidationError, KeyError):
            read = PlatformFile.model_validate({**read.model_dump(include={"mount", "services"}), name: data[name]})
    return Platform(read.mount, read.services)


def effective(platform: Platform, document: Document, name: ServiceName, *, hosts: Collection[str] = ()) -> Manifest:
    """One manifest with the platform's defaults under it and its overrides over it.

    `hosts` are those the operator allows requirements to be fetched from directly.
    """
    layers = _layers(platform, document, name)
    data = layers.merged()
    problems = [*_override_problems(platform, name), *_requirement_problems(data, layers, name, hosts)]
    try:
        manifest = validate(Manifest, data, layers, name, context={"service": name})
    except Invalid as invalid:
        problems += invalid.problems
    if problems:
        raise Invalid(in_order(problems))
    return manifest


def requirement_lines(
    platform: Platform, document: Document, name: ServiceName, manifest: Manifest
) -> tuple[Line, ...]:
    """The manifest's own list with the place of each entry; nothing where it names a file."""
    if isinstance(manifest.requirements, str):
        return ()
    return _lines(manifest.requirements, _layers(platform, document, name))


def unused_overrides(platform: Platform, names: Collection[str]) -> tuple[Problem, ...]:
    """Overrides for services that do not exist: worth a warning, never a failure."""
    if platform.document is None:
        return ()
    return in_order(
        _at(
            platform.document,
            ("overrides", name),
            "unknown-service",
            f"there is no service `{name[:80]}` to override",
            remedy=did_you_mean(name, names) or "remove it when the service is gone for good",
        )
        for name in platform.overrides
        if name not in names
    )


@dataclass(frozen=True, slots=True)
class Gathered:
    """Which folders are services, and which cannot be."""

    folders: Mapping[ServiceName, str]
    conflicts: Mapping[ServiceName, Problem]
    """Names that several folders claim; whichever runs goes on."""
    misnamed: tuple[Problem, ...]


def gather(folders: Iterable[str]) -> Gathered:
    """Name the service folders of one revision. A folder that cannot be a service harms no other."""
    claims: dict[ServiceName, list[str]] = {}
    misnamed: list[str] = []
    for folder in sorted(folders):
        name = folder.rpartition("/")[2]
        if is_service_name(name):
            claims.setdefault(ServiceName(name), []).append(folder)
        else:
            misnamed.append(folder)
    return Gathered(
        {name: claimed[0] for name, claimed in claims.items() if len(claimed) == 1},
        {name: _conflict(name, claimed) for name, claimed in claims.items() if len(claimed) > 1},
        tuple(_misnamed(folder, claims) for folder in misnamed),
    )


def _conflict(name: ServiceName, folders: list[str]) -> Problem:
    return Problem(
        f"{' and '.join(f'`{folder}`' for folder in folders[:3])} would both answer as `{name}`",
        "route-conflict",
        service=name,
        file=folders[1],
        remedy="rename all but one of the folders",
    )


def _misnamed(folder: str, claims: Mapping[ServiceName, list[str]]) -> Problem:
    name = folder.rpartition("/")[2]
    twin = ServiceName(name.lower())
    differs = f"; it differs from `{claims[twin][0]}` in case only" if twin in claims else ""
    better = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:63]
    return Problem(
        f"`{ascii(name)[1:-1][:80]}` cannot be the name of a service{differs}",
        "bad-name",
        file=folder,
        expected="at most 63 lower-case letters, digits, `_` and `-`, beginning with a letter",
        remedy=f"rename the folder, for example to `{better}`"
        if is_service_name(better) and not differs
        else "rename the folder",
    )


def _layers(platform: Platform, document: Document, name: ServiceName) -> Layers:
    layers = [Layer(document.data, document)]
    if platform.document is not None:
        override = platform.overrides.get(name)
        if isinstance(override, Mapping):
            own = {field: value for field, value in override.items() if field not in OWN_ONLY}
            layers.insert(0, Layer(own, Part(platform.document, ("overrides", name))))
        layers.append(Layer(platform.defaults, Part(platform.document, ("defaults",))))
    return Layers(layers, home=document)


def _default_problems(document: Document) -> list[Problem]:
    defaults = document.data.get("defaults")
    if not isinstance(defaults, dict):
        return []
    problems = _own_only_problems(document, ("defaults",), defaults, None)
    part = Part(document, ("defaults",))
    try:
        validate(Manifest, {name: value for name, value in defaults.items() if name not in OWN_ONLY}, part)
    except Invalid as invalid:
        problems += invalid.problems
    return [*problems, *_requirement_problems(defaults, part, None, ())]


def _override_problems(platform: Platform, name: ServiceName) -> list[Problem]:
    if platform.document is None or name not in platform.overrides:
        return []
    override = platform.overrides[name]
    path = ("overrides", name)
    if isinstance(override, Mapping):
        return _own_only_problems(platform.document, path, override, name)
    if override is None:
        return []
    said = f"`overrides.{name}` must be a mapping"
    return [_at(platform.document, path, "wrong-type", said, "fields of a manifest", service=name)]


def _own_only_problems(
    document: Document, path: tuple[str, ...], fields: Mapping[str, Any], service: str | None
) -> list[Problem]:
    return [
        _at(
            document,
            (*path, name),
            "not-valid",
            f"`{name}` belongs to each manifest itself",
            remedy="remove it",
            service=service,
        )
        for name in fields
        if name in OWN_ONLY
    ]


def _requirement_problems(
    data: Mapping[str, Any], origin: Origin, service: str | None, hosts: Collection[str]
) -> list[Problem]:
    requirements = data.get("requirements")
    if not isinstance(requirements, list) or not all(isinstance(entry, str) for entry in requirements):
        return []
    try:
        from_list(_lines(requirements, origin), hosts=hosts)
    except Stalled as stalled:
        return [replace(problem, service=service) for problem in stalled.problems]
    return []


def _lines(requirements: Iterable[str], origin: Origin) -> tuple[Line, ...]:
    places = [origin.position(("requirements", index)) for index, _ in enumerate(requirements)]
    return tuple(
        Line(text, place.file, place.line, place.column, place.excerpt)
        for text, place in zip(requirements, places, strict=True)
    )


def _at(
    document: Document,
    path: tuple[str, ...],
    code: str,
    message: str,
    expected: str | None = None,
    remedy: str | None = None,
    service: str | None = None,
) -> Problem:
    position = document.key(path)
    return Problem(
        message, code, service, position.file, position.line, position.column, position.excerpt, expected, remedy
    )
