"""What has to be kept about a release so that it can be started again without git.

Written into the journal before the release starts; read when a machine comes back, or when a release takes
its predecessor's place back. Holds references to secrets, never values.
"""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from reconciler.control.folders import Folders
from reconciler.control.wanted import Wanted
from reconciler.model.job import Job
from reconciler.model.names import EnvironmentId, ReleaseId, ServiceName
from reconciler.model.pinned_secret import PinnedSecret
from reconciler.worker.spec import Limits, ReleaseSpec

Tests: TypeAlias = str | list[Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    service: ServiceName
    description: str | None
    folder: str
    watched: tuple[str, ...]
    prefix: str
    entry: str
    env: Mapping[str, str]
    replicas: int
    drain: float
    start_timeout: float
    request_timeout: float
    limits: Limits
    revision: str
    jobs: tuple[Job, ...] = ()
    processes: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[PinnedSecret, ...] = ()
    tests: Tests = None
    """As the manifest names them, so that they can be played again without git."""

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Recipe":
        secrets = tuple(PinnedSecret(**secret) for secret in plain["secrets"])
        jobs, watched = tuple(Job(**job) for job in plain["jobs"]), tuple(plain["watched"])
        limits = Limits(**plain["limits"])
        return cls(**{**plain, "limits": limits, "watched": watched, "secrets": secrets, "jobs": jobs})

    def spec(self, release: ReleaseId, environment: EnvironmentId, folders: Folders) -> ReleaseSpec:
        home = folders.release(self.service, release)
        return ReleaseSpec(
            release=release,
            service=self.service,
            revision=self.revision,
            environment=environment,
            python=folders.python(environment),
            code=home / self.folder,
            path=(home,) if self.watched else (),
            entry=self.entry,
            prefix=self.prefix,
            pinned=self.secrets,
            environ=environ(self, release, environment, folders),
            calls=tuple(dict.fromkeys(job.call for job in self.jobs if job.call is not None)),
            processes={name: tuple(shlex.split(command)) for name, command in self.processes.items()},
            output=folders.log(self.service),
            limits=self.limits,
            replicas=self.replicas,
            drain=self.drain,
            start_timeout=self.start_timeout,
            request_timeout=self.request_timeout,
        )


def recipe(wanted: Wanted) -> Recipe:
    manifest = wanted.manifest
    return Recipe(
        service=wanted.name,
        description=manifest.description,
        folder=wanted.folder,
        watched=wanted.watched,
        prefix=wanted.prefix,
        entry=manifest.entry,
        env=dict(manifest.env),
        replicas=manifest.replicas,
        drain=manifest.drain,
        start_timeout=manifest.timeout.start,
        request_timeout=manifest.timeout.request,
        limits=Limits(
            memory=manifest.limits.memory,
            files=manifest.limits.files,
            processes=manifest.limits.processes,
            body=manifest.limits.body,
        ),
        revision=str(wanted.revision),
        jobs=tuple(Job.declared(wanted.name, job) for job in manifest.cron),
        processes=dict(manifest.processes),
        secrets=wanted.secrets,
        tests=manifest.model_dump(mode="json", include={"tests"})["tests"],
    )


def environ(recipe: Recipe, release: ReleaseId, environment: EnvironmentId, folders: Folders) -> dict[str, str]:
    """The whole environment of a worker: nothing of the platform's own is passed on."""
    return {
        "PATH": f"{folders.python(environment).parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(folders.home(recipe.service)),
        "RECONCILER_SERVICE": recipe.service,
        "RECONCILER_RELEASE": release,
        "RECONCILER_REVISION": recipe.revision,
        **recipe.env,
    }
