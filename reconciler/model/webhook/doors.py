"""Which providers are let in: those to which the operator gave a secret."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.model.webhook.bitbucket import BITBUCKET
from reconciler.model.webhook.gitea import GITEA
from reconciler.model.webhook.github import GITHUB
from reconciler.model.webhook.gitlab import GITLAB
from reconciler.model.webhook.provider import Door, Provider
from reconciler.model.webhook.standard import STANDARD

PROVIDERS: Mapping[str, Provider[Any]] = {one.name: one for one in (GITHUB, GITLAB, GITEA, BITBUCKET, STANDARD)}
Doors = Mapping[str, Door[Any]]
_PREFIX, _SUFFIX = "RECONCILER_WEBHOOK_", "_SECRET"


class BadSecret(ValueError):
    """A secret that cannot be used. Never says the secret."""


def doors_from(environ: Mapping[str, str]) -> Doors:
    """Read `RECONCILER_WEBHOOK_<PROVIDER>_SECRET`, each one or several with commas between them."""
    doors = {}
    for variable, provider in _variables(environ):
        try:
            keys = tuple(provider.key(one) for one in secrets_in(environ[variable]))
        except ValueError as error:
            raise BadSecret(f"{variable}: {error}") from error
        if keys:
            doors[provider.name] = Door(provider, keys)
    return doors


def known_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """What must never be shown, by a name that may."""
    return {
        f"{variable}.{number}": secret
        for variable, _ in _variables(environ)
        for number, secret in enumerate(secrets_in(environ[variable]), start=1)
    }


def secrets_in(text: str) -> Iterable[str]:
    return filter(None, (one.strip() for one in text.split(",")))


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, Provider[Any]]]:
    for variable in environ:
        if variable.startswith(_PREFIX) and variable.endswith(_SUFFIX):
            name = variable.removeprefix(_PREFIX).removesuffix(_SUFFIX).lower()
            if name not in PROVIDERS:
                raise BadSecret(f"{variable}: there is no provider {name}; there are {', '.join(PROVIDERS)}")
            yield variable, PROVIDERS[name]
