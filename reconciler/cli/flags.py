"""What the operator may decide when a server is started: every flag of `serve`, in the order of its help.

Each has an environment variable of its name. Whom to trust is decided here, and never by a repository.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

HOSTED = "services"


class ForgeKind(StrEnum):
    github = "github"
    gitlab = "gitlab"
    gitea = "gitea"


Repo = Annotated[
    str | None,
    typer.Argument(envvar="RECONCILER_REPO", help="A path or URL of a git repository.", show_default="this folder"),
]
Receive = Annotated[
    str | None,
    typer.Option(
        metavar="[NAME]",
        envvar="RECONCILER_RECEIVE",
        help=f"Host the repository here, to be pushed to at /git/NAME.git. NAME is {HOSTED} unless given.",
    ),
]
Branch = Annotated[
    str | None,
    typer.Option(envvar="RECONCILER_BRANCH", help="The branch to follow.", show_default="the current one"),
]
Signers = Annotated[
    Path | None,
    typer.Option(
        envvar="RECONCILER_SIGNERS",
        help="Apply only commits that somebody in this file signed: ssh's allowed_signers, armored OpenPGP keys.",
    ),
]
Poll = Annotated[
    str, typer.Option(envvar="RECONCILER_POLL", help="How often to look for a new commit: 500ms, 60s, 5m.")
]
Port = Annotated[int, typer.Option(envvar="RECONCILER_PORT", min=0, max=65535, help="Where the services answer.")]
ControlPort = Annotated[
    int, typer.Option(envvar="RECONCILER_CONTROL_PORT", min=0, max=65535, help="Where the control plane answers.")
]
Host = Annotated[str, typer.Option(envvar="RECONCILER_HOST", help="The address to listen at.")]
Data = Annotated[Path, typer.Option(envvar="RECONCILER_DATA", help="The folder for everything that is kept.")]
Index = Annotated[
    list[str] | None,
    typer.Option(
        envvar="RECONCILER_INDEX",
        help="A package index. Repeatable, in order of trust: the first that knows a name is the only one "
        "asked for it.",
    ),
]
AllowBuild = Annotated[
    list[str] | None,
    typer.Option(
        envvar="RECONCILER_ALLOW_BUILD",
        help="A package that may run code outside of workers: be built from source, or bring a .pth file; `*` "
        "allows all. Repeatable.",
    ),
]
AllowUrl = Annotated[
    list[str] | None,
    typer.Option(
        envvar="RECONCILER_ALLOW_URL", help="A host from which a requirement may be a direct URL. Repeatable."
    ),
]
AllowedHost = Annotated[
    list[str] | None,
    typer.Option(
        envvar="RECONCILER_ALLOWED_HOST",
        help="A name under which the control plane may be addressed, beside localhost. Repeatable.",
    ),
]
OpenMetrics = Annotated[
    bool,
    typer.Option(
        "--open-metrics", envvar="RECONCILER_OPEN_METRICS", help="Let everybody read /metrics, without a token."
    ),
]
Notify = Annotated[
    list[str] | None,
    typer.Option(
        envvar="RECONCILER_NOTIFY",
        help="Where to send news: https://..., signed, or slack+https://.... Repeatable.",
    ),
]
NotifyOn = Annotated[
    list[str] | None,
    typer.Option(
        envvar="RECONCILER_NOTIFY_ON",
        help="About what: failures, recoveries, rollbacks, releases. Repeatable.",
        show_default="all but releases",
    ),
]
AllowNotify = Annotated[
    list[str] | None,
    typer.Option(
        envvar="RECONCILER_ALLOW_NOTIFY",
        help="A host that may be sent news although it is not public. Repeatable.",
    ),
]
WebhookBody = Annotated[
    str | None,
    typer.Option(
        envvar="RECONCILER_WEBHOOK_BODY",
        help="The largest body of a webhook: 500kB, 5MB.",
        show_default="25MB for GitHub, 5MB for others",
    ),
]
Forge = Annotated[
    ForgeKind | None,
    typer.Option(envvar="RECONCILER_FORGE", help="The forge to tell.", show_default="by the repository's address"),
]
ForgeApi = Annotated[
    str | None, typer.Option(envvar="RECONCILER_FORGE_API", help="Its API's address, where that is unusual.")
]
ForgeRepository = Annotated[
    str | None,
    typer.Option(
        envvar="RECONCILER_FORGE_REPOSITORY",
        metavar="OWNER/NAME",
        help="The repository there.",
        show_default="by the repository's address",
    ),
]
GithubApp = Annotated[
    str | None, typer.Option(envvar="RECONCILER_GITHUB_APP", metavar="ID", help="A GitHub App to speak as.")
]
GithubAppKey = Annotated[
    Path | None,
    typer.Option(envvar="RECONCILER_GITHUB_APP_KEY", exists=True, dir_okay=False, help="Its private key, a file."),
]
PublicUrl = Annotated[str | None, typer.Option(envvar="RECONCILER_PUBLIC_URL", help="Where people reach the services.")]
DashboardUrl = Annotated[
    str | None, typer.Option(envvar="RECONCILER_DASHBOARD_URL", help="Where people reach the control plane.")
]
Environment = Annotated[str, typer.Option(envvar="RECONCILER_ENVIRONMENT", help="What the forge calls this platform.")]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        envvar="RECONCILER_DATABASE_URL",
        help="A PostgreSQL database that holds the journal. It has a password: give the variable, not the option.",
        show_envvar=True,
    ),
]
SupabaseMirror = Annotated[
    bool,
    typer.Option(
        "--supabase-mirror",
        envvar="RECONCILER_SUPABASE_MIRROR",
        help="Tell the Supabase project of RECONCILER_SUPABASE_URL of releases, syncs and events.",
    ),
]
TrustJob = Annotated[
    list[str] | None,
    typer.Option(
        envvar="RECONCILER_TRUST_JOB",
        metavar="CLAIM=VALUE",
        help="Let jobs of GitHub Actions read that show this, such as repository_id=1234. Repeatable: all hold.",
    ),
]
SecretsKeyFile = Annotated[
    Path | None,
    typer.Option(
        envvar="RECONCILER_SECRETS_KEY_FILE",
        help="The file with the key of the stored secrets.",
        show_default="secrets.key in the data folder",
    ),
]
SecretsFile = Annotated[
    list[Path] | None,
    typer.Option(envvar="RECONCILER_SECRETS_FILE", help="A dotenv file whose values manifests may name. Repeatable."),
]
SecretsEnv = Annotated[
    list[str] | None,
    typer.Option(
        envvar="RECONCILER_SECRETS_ENV",
        help="Variables of the server that manifests may name: a pattern such as `APP_*`. Repeatable.",
        show_default="all but those that configure programs",
    ),
]
