"""Releases: one row for each attempt to make a digest run, with how far it has come.

The intent is written before a side effect and the result after it, so that whoever starts next knows what
may have happened. Numbers are counted per service and never used again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, bindparam, delete, func, select

from reconciler.model.digest import Ingredients
from reconciler.model.failure import Reason
from reconciler.model.names import ReleaseId, Revision, ServiceName, SyncId
from reconciler.model.problem import Problem
from reconciler.store.entries import Entries, changing, inserting, problems_as_json, problems_from_json
from reconciler.store.rows import FINISHED, FailedDigestRow, Page, Phase, ReleaseRow
from reconciler.store.tables import FailedDigest, Number, Release, Service

RELEASES_KEPT = 100
"""Finished ones per service; the live one is always kept, and those it could go back to."""
FAILED_KEPT = 100
"""Digests per service that are not tried again. Who comes back to an older one asks for something new."""
PAST_KEPT = 2
"""How many releases a service can go back to."""

_ORDER = tuple(Phase)
_MAY_RETURN = (Phase.DRAINING, Phase.RETIRED)
"""Live once, and good enough to be live again when its successor is not."""
_NEWEST_TO_SERVE = (Release.live_at.desc(), Release.serial.desc())
_UNDER_WAY = tuple(phase for phase in Phase if phase not in (*FINISHED, Phase.LIVE))
_PRUNE_EVERY = 20
_ALL = ""
"""The name under which the releases of all services are counted."""

_INSERT = inserting(Release)
_CHANGE = changing(Release, Release.__table__.c.id)
_NOW = select(Release.service, Release.digest, Release.phase, Release.facts, Release.revision).where(
    Release.id == bindparam("key")
)
_LAST_NUMBER = select(Number.last).where(Number.service == bindparam("key"))
_INSERT_NUMBER = inserting(Number)
_CHANGE_NUMBER = changing(Number, Number.__table__.c.service)
_INSERT_FAILED = inserting(FailedDigest)


class ReleaseEntries(Entries):
    def begin_release(
        self,
        service: ServiceName,
        ingredients: Ingredients,
        revision: Revision | str,
        sync: SyncId | None,
        config: Mapping[str, Any],
        at: datetime,
        *,
        folder: str | None = None,
        prefix: str | None = None,
    ) -> ReleaseId:
        number, serial = self._next_number(service), self._next_number(_ALL)
        release = ReleaseId(f"{service}-{number}")
        begun = {
            "id": release,
            "service": service,
            "number": number,
            "serial": serial,
            "digest": ingredients.digest,
            "ingredients": asdict(ingredients),
            "revision": str(revision),
            "sync": None if sync is None else int(sync),
            "config": dict(config),
            "environment": None,
            "folder": folder,
            "prefix": prefix,
            "facts": {},
            "phase": Phase.PLANNED,
            "phase_at": at,
            "problems": [],
            "created_at": at,
        }
        self._connection.execute(_INSERT, begun)
        if number % _PRUNE_EVERY == 0:
            self._prune(service, number)
        return release

    def advance(
        self,
        release: ReleaseId,
        phase: Phase,
        at: datetime,
        /,
        *,
        environment: str | None = None,
        folder: str | None = None,
        prefix: str | None = None,
        **facts: Any,
    ) -> None:
        """Write down how far it has come, and what was learnt. Only one that was live may be taken up again."""
        row = self._release_now(release)
        _check_order(release, Phase(row["phase"]), phase)
        known = {"environment": environment, "folder": folder, "prefix": prefix}
        values: dict[str, Any] = {name: value for name, value in known.items() if value is not None}
        moments = {Phase.LIVE: {"live_at": at}, Phase.RETIRED: {"retired_at": at}}.get(phase, {})
        if facts:
            values["facts"] = {**row["facts"], **facts}
        self._change_release(release, phase=phase, phase_at=at, **moments, **values)

    def learn(self, release: ReleaseId, /, **facts: Any) -> None:
        """Write down what was learnt, wherever it stands."""
        self._change_release(release, facts={**self._release_now(release)["facts"], **facts})

    def fail(
        self,
        release: ReleaseId,
        reason: Reason,
        message: str,
        at: datetime,
        *,
        problems: Iterable[Problem] = (),
        detail: str | None = None,
        remember: bool = True,
    ) -> None:
        """End a release. `remember` its digest as not to be tried again, unless the trouble was not its own."""
        row = self._release_now(release)
        told = {"reason": reason, "message": message, "problems": problems_as_json(problems), "detail": detail}
        self._change_release(release, phase=Phase.FAILED, phase_at=at, **told)
        if remember:
            key = {"service": row["service"], "digest": row["digest"]}
            self._connection.execute(delete(FailedDigest).filter_by(**key))
            self._connection.execute(_INSERT_FAILED, {**key, "release": release, "at": at, **told})
            self._forget_failed(row["service"])

    def release(self, release: ReleaseId) -> ReleaseRow | None:
        row = self._connection.execute(select(Release.__table__).where(Release.id == release)).mappings().first()
        return None if row is None else _row(row)

    def releases(
        self, service: ServiceName | None = None, limit: int = 50, after: str | None = None
    ) -> Page[ReleaseRow]:
        """The newest first; of one service, or of all in the order they were begun."""
        of = () if service is None else (Release.service == service,)
        total = self._connection.execute(select(func.count()).select_from(Release).where(*of)).scalar_one()
        query = select(Release.__table__).where(*of).order_by(Release.serial.desc())
        if after is not None:
            last = select(Release.serial).where(Release.id == after).scalar_subquery()
            query = query.where(Release.serial < last)
        rows = [_row(row) for row in self._connection.execute(query.limit(limit + 1)).mappings()]
        return Page(tuple(rows[:limit]), total, rows[limit - 1].id if len(rows) > limit else None)

    def releases_before(self, service: ServiceName, live: ReleaseId | None) -> tuple[ReleaseRow, ...]:
        """Those it could go back to, the newest last, however many failed since."""
        query = select(Release.__table__).where(*_may_return(service, live)).order_by(*_NEWEST_TO_SERVE)
        rows = self._connection.execute(query.limit(PAST_KEPT)).mappings().all()
        return tuple(_row(row) for row in reversed(rows))

    def unfinished(self) -> tuple[ReleaseRow, ...]:
        """Releases on their way to life or out of it, in the order they were begun."""
        query = select(Release.__table__).where(Release.phase.in_(_UNDER_WAY)).order_by(Release.serial)
        rows = self._connection.execute(query).mappings()
        return tuple(_row(row) for row in rows)

    def failed_digests(self, service: ServiceName | None = None) -> tuple[FailedDigestRow, ...]:
        query = select(FailedDigest.__table__).order_by(FailedDigest.at)
        if service is not None:
            query = query.where(FailedDigest.service == service)
        return tuple(_failed(row) for row in self._connection.execute(query).mappings())

    def forgive(self, service: ServiceName | None = None) -> int:
        """Let what failed be tried again: one service's digests or all; how many there were."""
        forgiven = delete(FailedDigest)
        if service is not None:
            forgiven = forgiven.where(FailedDigest.service == service)
        return self._connection.execute(forgiven).rowcount

    def _forget_failed(self, service: str) -> None:
        of = FailedDigest.service == service
        kept = select(FailedDigest.digest).where(of).order_by(FailedDigest.at.desc()).limit(FAILED_KEPT)
        self._connection.execute(delete(FailedDigest).where(of, FailedDigest.digest.not_in(kept)))

    def _next_number(self, service: str) -> int:
        last = self._connection.execute(_LAST_NUMBER, {"key": service}).scalar()
        if last is None:
            self._connection.execute(_INSERT_NUMBER, {"service": service, "last": 1})
            return 1
        self._connection.execute(_CHANGE_NUMBER, {"key": service, "last": last + 1})
        return int(last) + 1

    def _release_now(self, release: ReleaseId) -> RowMapping:
        row = self._connection.execute(_NOW, {"key": release}).mappings().first()
        if row is None:
            raise LookupError(f"no release {release}")
        return row

    def _change_release(self, release: ReleaseId, **values: Any) -> None:
        self._connection.execute(_CHANGE, {"key": release, **values})

    def _prune(self, service: ServiceName, number: int) -> None:
        found = self._connection.execute(select(Service.live).where(Service.name == service)).scalar()
        live = ReleaseId(found) if found is not None else None
        needed = {live, *(row.id for row in self.releases_before(service, live))} - {None}
        old = delete(Release).where(
            Release.service == service,
            Release.number <= number - RELEASES_KEPT,
            Release.phase.in_(FINISHED),
            Release.id.not_in(needed),
        )
        self._connection.execute(old)


def _may_return(service: ServiceName, live: ReleaseId | None) -> tuple[ColumnElement[bool], ...]:
    return (
        Release.service == service,
        Release.id.is_distinct_from(live),
        Release.live_at.is_not(None),
        Release.phase.in_(_MAY_RETURN),
    )


def _check_order(release: ReleaseId, now: Phase, then: Phase) -> None:
    if now is Phase.FAILED or (now not in _MAY_RETURN and _ORDER.index(then) < _ORDER.index(now)):
        raise ValueError(f"release {release} is {now} and cannot become {then}")


def _row(row: RowMapping) -> ReleaseRow:
    facts = {name: value for name, value in row.items() if name != "serial"}
    return ReleaseRow(
        **facts
        | {
            "sync": None if facts["sync"] is None else SyncId(str(facts["sync"])),
            "ingredients": Ingredients(**facts["ingredients"]),
            "phase": Phase(facts["phase"]),
            "reason": None if facts["reason"] is None else Reason(facts["reason"]),
            "problems": problems_from_json(facts["problems"]),
        }
    )


def _failed(row: RowMapping) -> FailedDigestRow:
    facts = dict(row)
    problems = problems_from_json(facts["problems"])
    return FailedDigestRow(**facts | {"reason": Reason(facts["reason"]), "problems": problems})
