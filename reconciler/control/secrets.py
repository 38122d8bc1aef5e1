"""Which secrets a release is made with, and their values for its workers: control's side of the providers.

A sync asks for versions only; they are part of the digest, so that another value is another release, tested like code.
Values are asked for when a worker starts, and by nobody else. A secret that cannot be had refuses the release that
wants it, and nothing that runs.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace

from reconciler.control.veil import Veil
from reconciler.control.wanted import Reading, Unfit, Wanted, Wish
from reconciler.model.digest import fingerprint
from reconciler.model.failure import Reason, Stalled, Wait
from reconciler.model.names import ServiceName
from reconciler.model.pinned_secret import PinnedSecret
from reconciler.model.problem import Problem
from reconciler.model.secret_reference import SecretReference, split
from reconciler.secrets import Absent, Missing, Provider

MOST_TOGETHER = 8 * 1024 * 1024
"""Characters in all secrets of one service."""


class Secrets:
    def __init__(self, providers: Mapping[str, Provider], veil: Veil) -> None:
        self.veil = veil
        """Hears of every value that is asked for."""
        self._providers = providers
        self._pace: Hashable = None
        self._asked: Hashable = None
        self._read: Mapping[ServiceName, Wish] = {}
        self._completed: Mapping[ServiceName, Wish] = {}
        self._bearers: dict[ServiceName, tuple[Wanted, Wish]] = {}
        """Services with secrets: as git has them, and with the versions that there are."""

    def apart(self) -> "Secrets":
        """For another loop, or one look."""
        return Secrets(self._providers, self.veil)

    def pinned(self, wanted: Wanted) -> Wanted:
        """With the versions that a release made now gets. Raises `Stalled`, naming all that cannot be had."""
        secrets, problems = [], []
        for reference in wanted.manifest.secrets:
            try:
                secrets.append(self._pin(reference))
            except Missing as missing:
                if not (reference.optional and isinstance(missing, Absent)):
                    problems.append(_problem(missing, reference, wanted))
        if problems:
            raise _secret_missing(problems)
        print_ = fingerprint([[one.name, one.reference, one.version] for one in secrets])
        return replace(
            wanted, secrets=tuple(secrets), ingredients=replace(wanted.ingredients, secrets=print_ if secrets else "")
        )

    def complete(self, reading: Reading) -> Reading:
        """A reading in which every service has its versions, or is unfit for want of one. For one loop only."""
        pace = self.pace()
        known = self._bearers if pace == self._pace else {}
        if reading.wishes is self._read and known is self._bearers:
            return replace(reading, wishes=self._completed)
        follows = reading.before is self._read and known is self._bearers
        touched = reading.changed if follows else reading.wishes.keys()
        bearers = {
            name: known[name] if name in known and known[name][0] is wish else (wish, self._pinned_or_unfit(wish))
            for name in touched
            if isinstance(wish := reading.wishes.get(name), Wanted) and wish.manifest.secrets
        }
        changed = {name for name, (_, wish) in bearers.items() if not self._is_as_it_was(name, wish)}
        if follows:
            bearers = {**{name: both for name, both in known.items() if name not in touched}, **bearers}
        self._pace, self._read, self._bearers = pace, reading.wishes, bearers
        self._completed = {**reading.wishes, **{name: wish for name, (_, wish) in bearers.items()}}
        return replace(reading, wishes=self._completed, changed=reading.changed | changed)

    async def reveal(self, pinned: Iterable[PinnedSecret]) -> Mapping[str, str]:
        """The values, for a worker that starts now."""
        try:
            values = {one.name: await self._providers[one.provider].value(one) for one in pinned}
        except Missing as missing:
            raise Wait(Reason.SECRET_MISSING, str(missing)) from missing
        self.veil.know(values)
        if (size := sum(map(len, values.values()))) > MOST_TOGETHER:
            raise Wait(Reason.SECRET_MISSING, f"its secrets have {size:,} characters; {MOST_TOGETHER:,} can be given")
        return values

    def pace(self) -> Hashable:
        return tuple(provider.pace() for provider in self._providers.values())

    def news(self) -> bool:
        """Whether something changed for somebody, and no sync has been asked for on its account."""
        pace = self.pace()
        if not self._bearers or pace in (self._pace, self._asked):
            return False
        self._asked = pace
        return True

    def forget_news(self) -> None:
        """Nobody could be asked."""
        self._asked = None

    def users(self, name: str) -> list[ServiceName]:
        """Services that want what the encrypted store has under this name."""
        reference = f"store:{name}"
        return sorted(
            service
            for service, (wanted, _) in self._bearers.items()
            if any(secret.reference == reference for secret in wanted.manifest.secrets)
        )

    def _pin(self, reference: SecretReference) -> PinnedSecret:
        provider = self._providers[split(reference.reference)[0]]
        return PinnedSecret(reference.name, reference.reference, provider.version(reference))

    def _pinned_or_unfit(self, wanted: Wanted) -> Wish:
        if wanted.manifest.suspend:
            return wanted
        try:
            return self.pinned(wanted)
        except Stalled as stalled:
            return Unfit(wanted.name, wanted.folder, wanted.prefix, stalled, wanted.revision)

    def _is_as_it_was(self, name: ServiceName, wish: Wish) -> bool:
        return name in self._bearers and self._bearers[name][1].desired() == wish.desired()


def _problem(missing: Missing, reference: SecretReference, wanted: Wanted) -> Problem:
    place = wanted.places.get(reference.name)
    return Problem(
        missing.message,
        "secret-missing",
        wanted.name,
        place.file if place else None,
        place.line if place else None,
        place.column if place else None,
        remedy=missing.remedy,
    )


def _secret_missing(problems: list[Problem]) -> Stalled:
    first, *others = problems
    more = "".join(f"; {other.message}" for other in others)
    return Stalled(Reason.SECRET_MISSING, f"{first.message}; {first.remedy}{more}", problems=tuple(problems))
