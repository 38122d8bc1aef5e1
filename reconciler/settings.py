"""What the operator decided: flags and environment variables, read once, then frozen.

Whom to trust is settled here and never by the repository that is followed.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    repository: str
    """A path or a URL."""
    branch: str
    data: Path
    host: str = "127.0.0.1"
    port: int = 8000
    control_port: int = 8001
    poll: float = 60.0
    indexes: tuple[str, ...] = ()
    """Package indexes, in order of trust: the first that knows a name is the only one asked. Empty: uv's default."""
    allow_builds: tuple[str, ...] = ()
    """Packages that may be built from source, which runs their code; `*` allows all."""
    allow_urls: tuple[str, ...] = ()
    """Hosts from which a requirement may be a direct URL."""
    receive: str | None = None
    """The name of the repository that is hosted here and pushed to; None: `repository` lies elsewhere."""
    signers: str | None = None
    """The file that lists whose commits are applied; None: anybody's."""
    allowed_hosts: tuple[str, ...] = ()
    """Names under which the control plane may be addressed, beside loopback, `host` and any IP address."""
    open_metrics: bool = False
    """Whether metrics are told to everybody."""
    webhook_body: int | None = None
    """The largest body of a webhook; None: what each provider is known to send."""
    notify: tuple[str, ...] = ()
    """Where to send what people want to hear of; such an address may hold a secret."""
    notify_on: tuple[str, ...] = ()
    allow_notify: tuple[str, ...] = ()
    """Hosts that may be notified although they are not public."""

    forge: Literal["github", "gitlab", "gitea"] | None = None
    """What kind of forge is told; None: what the repository's address says."""
    forge_api: str | None = None
    forge_repository: str | None = None
    github_app: str | None = None
    github_app_key: str | None = None
    """A file."""
    public_url: str | None = None
    """Where people reach the services; None: this machine."""
    dashboard_url: str | None = None
    """Where people reach the control plane; None: links to it are left out."""
    environment: str = "production"
    database_url: str | None = field(default=None, repr=False)
    """Of the PostgreSQL database whose journal this is."""
    supabase_url: str | None = None
    """Of the project that is told of releases, syncs and events."""
    supabase_key: str | None = field(default=None, repr=False)
    trusted_jobs: tuple[str, ...] = ()
    """Claims, each `name=value`, that a job of GitHub Actions must show to be let in."""

    secrets_key_file: str | None = None
    """The master key of the encrypted store, where the operator keeps it himself."""
    secrets_files: tuple[str, ...] = ()
    """Dotenv files that manifests may name."""
    secrets_env: tuple[str, ...] = ()
    """Patterns of the server's variables that manifests may name; empty: all but those that configure a process."""

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "data": str(self.data)})

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        raw = json.loads(text)
        return cls(
            **{one.name: _as_declared(raw[one.name]) for one in fields(cls) if one.name in raw}
            | {"data": Path(raw["data"])}
        )


def _as_declared(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
