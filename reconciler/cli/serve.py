"""`reconciler serve`: follow a repository and serve what it holds."""

import os
from itertools import zip_longest
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from reconciler.cli import flags
from reconciler.misconfigured import Misconfigured


def add_to(app: typer.Typer) -> None:
    app.command(cls=WithDefaultName)(serve)


class WithDefaultName(TyperCommand):
    """Lets `--receive` stand alone, which Typer's options cannot."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given: list[str] = []
        for word, following in zip_longest(args, args[1:], fillvalue="--"):
            given.append(word)
            if word == "--receive" and following.startswith("-"):
                given.append(flags.HOSTED)
        return super().parse_args(ctx, given)


def serve(
    repo: flags.Repo = None,
    receive: flags.Receive = None,
    branch: flags.Branch = None,
    signers: flags.Signers = None,
    poll: flags.Poll = "60s",
    port: flags.Port = 8000,
    control_port: flags.ControlPort = 8001,
    host: flags.Host = "127.0.0.1",
    data: flags.Data = Path(".reconciler"),
    index: flags.Index = None,
    allow_build: flags.AllowBuild = None,
    allow_url: flags.AllowUrl = None,
    allowed_host: flags.AllowedHost = None,
    open_metrics: flags.OpenMetrics = False,
    notify: flags.Notify = None,
    notify_on: flags.NotifyOn = None,
    allow_notify: flags.AllowNotify = None,
    webhook_body: flags.WebhookBody = None,
    forge: flags.Forge = None,
    forge_api: flags.ForgeApi = None,
    forge_repository: flags.ForgeRepository = None,
    github_app: flags.GithubApp = None,
    github_app_key: flags.GithubAppKey = None,
    public_url: flags.PublicUrl = None,
    dashboard_url: flags.DashboardUrl = None,
    environment: flags.Environment = "production",
    database_url: flags.DatabaseUrl = None,
    supabase_mirror: flags.SupabaseMirror = False,
    trust_job: flags.TrustJob = None,
    secrets_key_file: flags.SecretsKeyFile = None,
    secrets_file: flags.SecretsFile = None,
    secrets_env: flags.SecretsEnv = None,
) -> None:
    """Follow a repository and serve the services it holds.

    Every option can also be given as RECONCILER_<OPTION>; lists are separated by spaces there.
    """
    from reconciler import log, supervisor
    from reconciler.cli.repository import find_or_remember, to_host
    from reconciler.settings import Settings

    every, largest = _seconds(poll), _octets(webhook_body)
    _check_senders(notify, notify_on, allow_notify)
    followed = to_host(receive, repo, branch, data) if receive else find_or_remember(repo or ".", branch, data)
    if signers is not None:
        _check_signers(signers)
    _check_app(github_app, github_app_key)
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


def _seconds(poll: str) -> float:
    from reconciler.model import duration

    every = duration.seconds(poll)
    if not every:
        raise Misconfigured(f"--poll {poll!r} is no duration; write 500ms, 60s, 5m or 1h")
    return every


def _octets(webhook_body: str | None) -> int | None:
    from reconciler.model import size

    largest = size.octets(webhook_body) if webhook_body is not None else None
    if webhook_body is not None and not largest:
        raise Misconfigured(f"--webhook-body {webhook_body!r} is no size; write 500kB or 5MB")
    return largest


def _check_senders(notify: flags.Notify, notify_on: flags.NotifyOn, allow_notify: flags.AllowNotify) -> None:
    """Whom we believe, and whom we tell: a mistake is said here and not when something happens."""
    from reconciler.model.webhook.doors import BadSecret, doors_from
    from reconciler.notification.destination import BadDestination
    from reconciler.notification.outgoing import VARIABLE, outgoing

    try:
        doors_from(os.environ)
        outgoing(notify or (), notify_on or (), allow_notify or (), os.environ.get(VARIABLE, ""))
    except (BadSecret, BadDestination) as error:
        raise Misconfigured(str(error)) from error


def _check_signers(file: Path) -> None:
    from reconciler.source.signers import Unusable, read_signers

    try:
        read_signers(file)
    except Unusable as unusable:
        raise Misconfigured(str(unusable)) from unusable


def _check_app(app: str | None, file: Path | None) -> None:
    if (app is None) != (file is None):
        raise Misconfigured("--github-app and --github-app-key go together: its number, and the key that it signs with")
    if app is None or file is None:
        return
    from jwt import InvalidKeyError

    from reconciler.forge import App

    try:
        App(app, file.read_text()).proof()
    except (OSError, UnicodeDecodeError, InvalidKeyError) as error:
        raise Misconfigured(f"{file} holds no private key as GitHub makes it for an App, RSA in PEM") from error


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
