"""`reconciler serve`: follow a repository and serve what it holds."""

import os
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from reconciler.misconfigured import Misconfigured

HOSTED = "services"


class Forge(StrEnum):
    github = "github"
    gitlab = "gitlab"
    gitea = "gitea"


def add_to(app: typer.Typer) -> None:
    app.command(cls=WithDefaultName)(serve)


class WithDefaultName(TyperCommand):
    """Lets `--receive` stand alone, which Typer's options cannot."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given: list[str] = []
        for word, following in zip_longest(args, args[1:], fillvalue="--"):
            given.append(word)
            if word == "--receive" and following.startswith("-"):
                given.append(HOSTED)
        return super().parse_args(ctx, given)


def serve(
    repo: Annotated[
        str | None,
        typer.Argument(envvar="RECONCILER_REPO", help="A path or URL of a git repository.", show_default="this folder"),
    ] = None,
    receive: Annotated[
        str | None,
        typer.Option(
            metavar="[NAME]",
            envvar="RECONCILER_RECEIVE",
            help=f"Host the repository here, to be pushed to at /git/NAME.git. NAME is {HOSTED} unless given.",
        ),
    ] = None,
    branch: Annotated[
        str | None,
        typer.Option(envvar="RECONCILER_BRANCH", help="The branch to follow.", show_default="the current one"),
    ] = None,
    signers: Annotated[
        Path | None,
        typer.Option(
            envvar="RECONCILER_SIGNERS",
            help="Apply only commits that somebody in this file signed: ssh's allowed_signers, armored OpenPGP keys.",
        ),
    ] = None,
    poll: Annotated[
        str, typer.Option(envvar="RECONCILER_POLL", help="How often to look for a new commit: 500ms, 60s, 5m.")
    ] = "60s",
    port: Annotated[
        int, typer.Option(envvar="RECONCILER_PORT", min=0, max=65535, help="Where the services answer.")
    ] = 8000,
    control_port: Annotated[
        int, typer.Option(envvar="RECONCILER_CONTROL_PORT", min=0, max=65535, help="Where the control plane answers.")
    ] = 8001,
    host: Annotated[str, typer.Option(envvar="RECONCILER_HOST", help="The address to listen at.")] = "127.0.0.1",
    data: Annotated[
        Path, typer.Option(envvar="RECONCILER_DATA", help="The folder for everything that is kept.")
    ] = Path(".reconciler"),
    index: Annotated[
        list[str] | None,
        typer.Option(
            envvar="RECONCILER_INDEX",
            help="A package index. Repeatable, in order of trust: the first that knows a name is the only one "
            "asked for it.",
        ),
    ] = None,
    allow_build: Annotated[
        list[str] | None,
        typer.Option(
            envvar="RECONCILER_ALLOW_BUILD",
            help="A package that may run code outside of workers: be built from source, or bring a .pth file; `*` "
            "allows all. Repeatable.",
        ),
    ] = None,
    allow_url: Annotated[
        list[str] | None,
        typer.Option(
            envvar="RECONCILER_ALLOW_URL", help="A host from which a requirement may be a direct URL. Repeatable."
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            envvar="RECONCILER_ALLOWED_HOST",
            help="A name under which the control plane may be addressed, beside localhost. Repeatable.",
        ),
    ] = None,
    open_metrics: Annotated[
        bool,
        typer.Option(
            "--open-metrics", envvar="RECONCILER_OPEN_METRICS", help="Let everybody read /metrics, without a token."
        ),
    ] = False,
    notify: Annotated[
        list[str] | None,
        typer.Option(
            envvar="RECONCILER_NOTIFY",
            help="Where to send news: https://..., signed, or slack+https://.... Repeatable.",
        ),
    ] = None,
    notify_on: Annotated[
        list[str] | None,
        typer.Option(
            envvar="RECONCILER_NOTIFY_ON",
            help="About what: failures, recoveries, rollbacks, releases. Repeatable.",
            show_default="all but releases",
        ),
    ] = None,
    allow_notify: Annotated[
        list[str] | None,
        typer.Option(
            envvar="RECONCILER_ALLOW_NOTIFY",
            help="A host that may be sent news although it is not public. Repeatable.",
        ),
    ] = None,
    webhook_body: Annotated[
        str | None,
        typer.Option(
            envvar="RECONCILER_WEBHOOK_BODY",
            help="The largest body of a webhook: 500kB, 5MB.",
            show_default="25MB for GitHub, 5MB for others",
        ),
    ] = None,
    forge: Annotated[
        Forge | None,
        typer.Option(envvar="RECONCILER_FORGE", help="The forge to tell.", show_default="by the repository's address"),
    ] = None,
    forge_api: Annotated[
        str | None, typer.Option(envvar="RECONCILER_FORGE_API", help="Its API's address, where that is unusual.")
    ] = None,
    forge_repository: Annotated[
        str | None,
        typer.Option(
            envvar="RECONCILER_FORGE_REPOSITORY",
            metavar="OWNER/NAME",
            help="The repository there.",
            show_default="by the repository's address",
        ),
    ] = None,
    github_app: Annotated[
        str | None, typer.Option(envvar="RECONCILER_GITHUB_APP", metavar="ID", help="A GitHub App to speak as.")
    ] = None,
    github_app_key: Annotated[
        Path | None,
        typer.Option(envvar="RECONCILER_GITHUB_APP_KEY", exists=True, dir_okay=False, help="Its private key, a file."),
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(envvar="RECONCILER_PUBLIC_URL", help="Where people reach the services.")
    ] = None,
    dashboard_url: Annotated[
        str | None, typer.Option(envvar="RECONCILER_DASHBOARD_URL", help="Where people reach the control plane.")
    ] = None,
    environment: Annotated[
        str, typer.Option(envvar="RECONCILER_ENVIRONMENT", help="What the forge calls this platform.")
    ] = "production",
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="RECONCILER_DATABASE_URL",
            help="A PostgreSQL database that holds the journal. It has a password: give the variable, not the option.",
            show_envvar=True,
        ),
    ] = None,
    supabase_mirror: Annotated[
        bool,
        typer.Option(
            "--supabase-mirror",
            envvar="RECONCILER_SUPABASE_MIRROR",
            help="Tell the Supabase project of RECONCILER_SUPABASE_URL of releases, syncs and events.",
        ),
    ] = False,
    trust_job: Annotated[
        list[str] | None,
        typer.Option(
            envvar="RECONCILER_TRUST_JOB",
            metavar="CLAIM=VALUE",
            help="Let jobs of GitHub Actions read that show this, such as repository_id=1234. Repeatable: all hold.",
        ),
    ] = None,
    secrets_key_file: Annotated[
        Path | None,
        typer.Option(
            envvar="RECONCILER_SECRETS_KEY_FILE",
            help="The file with the key of the stored secrets.",
            show_default="secrets.key in the data folder",
        ),
    ] = None,
    secrets_file: Annotated[
        list[Path] | None,
        typer.Option(
            envvar="RECONCILER_SECRETS_FILE", help="A dotenv file whose values manifests may name. Repeatable."
        ),
    ] = None,
    secrets_env: Annotated[
        list[str] | None,
        typer.Option(
            envvar="RECONCILER_SECRETS_ENV",
            help="Variables of the server that manifests may name: a pattern such as `APP_*`. Repeatable.",
            show_default="all but those that configure programs",
        ),
    ] = None,
) -> None:
    """Follow a repository and serve the services it holds.

    Every option can also be given as RECONCILER_<OPTION>; lists are separated by spaces there.
    """
    from reconciler import log, supervisor
    from reconciler.cli.repository import find_or_remember, to_host
    from reconciler.model import duration, size
    from reconciler.model.webhook.doors import BadSecret, doors_from
    from reconciler.notification.destination import BadDestination
    from reconciler.notification.outgoing import VARIABLE, outgoing
    from reconciler.settings import Settings

    every = duration.seconds(poll)
    if not every:
        raise Misconfigured(f"--poll {poll!r} is no duration; write 500ms, 60s, 5m or 1h")
    largest = size.octets(webhook_body) if webhook_body is not None else None
    if webhook_body is not None and not largest:
        raise Misconfigured(f"--webhook-body {webhook_body!r} is no size; write 500kB or 5MB")
    try:
        doors_from(os.environ)
        outgoing(notify or (), notify_on or (), allow_notify or (), os.environ.get(VARIABLE, ""))
    except (BadSecret, BadDestination) as error:
        raise Misconfigured(str(error)) from error
    followed = to_host(receive, repo, branch, data) if receive else find_or_remember(repo or ".", branch, data)
    if signers is not None:
        _check_signers(signers)
    project = supabase_project() if supabase_mirror else (None, None)
    forget_what_is_secret()
    log.configure()
    settings = Settings(
        repository=followed.repository,
        branch=followed.branch,
        receive=receive,
        signers=str(signers.resolve()) if signers else None,
        data=data.resolve(),
        host=host,
        port=port,
        control_port=control_port,
        poll=every,
        indexes=tuple(index or ()),
        allow_builds=tuple(allow_build or ()),
        allow_urls=tuple(allow_url or ()),
        allowed_hosts=tuple(allowed_host or ()),
        open_metrics=open_metrics,
        webhook_body=largest,
        forge=forge.value if forge is not None else None,
        forge_api=forge_api,
        forge_repository=forge_repository,
        github_app=github_app,
        github_app_key=str(github_app_key.resolve()) if github_app_key is not None else None,
        public_url=public_url,
        dashboard_url=dashboard_url,
        environment=environment,
        database_url=database_url or None,
        supabase_url=project[0],
        supabase_key=project[1],
        notify=tuple(notify or ()),
        notify_on=tuple(notify_on or ()),
        allow_notify=tuple(allow_notify or ()),
        trusted_jobs=_claims(trust_job, dashboard_url),
        secrets_key_file=str(secrets_key_file.absolute()) if secrets_key_file else None,
        secrets_files=tuple(str(path.absolute()) for path in secrets_file or ()),
        secrets_env=tuple(secrets_env or ()),
    )
    raise typer.Exit(supervisor.serve(settings))


def _check_signers(file: Path) -> None:
    from reconciler.source.signers import Unusable, read_signers

    try:
        read_signers(file)
    except Unusable as unusable:
        raise Misconfigured(str(unusable)) from unusable


def supabase_project() -> tuple[str, str]:
    """Where the project is, and the key that may write there; from the environment only."""
    url, key = os.environ.get("RECONCILER_SUPABASE_URL", ""), os.environ.get("RECONCILER_SUPABASE_KEY", "")
    if not url.startswith(("https://", "http://")) or not key:
        raise Misconfigured(
            "--supabase-mirror needs the project's address in RECONCILER_SUPABASE_URL (https://….supabase.co) and its "
            "secret key in RECONCILER_SUPABASE_KEY"
        )
    return url, key


def forget_what_is_secret() -> None:
    """What is read is read: no process that is started from here on finds it in its environment."""
    for name in ("RECONCILER_DATABASE_URL", "RECONCILER_SUPABASE_KEY"):
        os.environ.pop(name, None)


def _claims(given: list[str] | None, dashboard_url: str | None) -> tuple[str, ...]:
    claims = tuple(given or ())
    if not claims:
        return ()
    from reconciler.forge.identity import BINDABLE, ONE_OF

    names = {claim.partition("=")[0] for claim in claims}
    if any("=" not in claim for claim in claims) or not names <= set(BINDABLE):
        raise Misconfigured(f"--trust-job takes CLAIM=VALUE with one of the claims {', '.join(BINDABLE)}")
    if names.isdisjoint(ONE_OF):
        raise Misconfigured(f"--trust-job needs {' or '.join(ONE_OF)}: without it every repository is let in")
    if dashboard_url is None:
        raise Misconfigured("--trust-job needs --dashboard-url: a job's token must have been made for it")
    return claims
