"""The tables of the journal.

Plain SQL types only, so that another database is another URL. What is only ever read back whole is JSON. No
object of these classes leaves the package: rows are told as the values in `rows.py`.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy import Table as SQLTable
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

HEAD = "0001"
"""The newest migration; a test compares it with the folder of migrations."""


class Moment(TypeDecorator[datetime]):
    """A moment in UTC, also where the database knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text for people, whatever it was quoted from: what no database takes is replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


class Table(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: Moment(), str: Words(), dict[str, Any]: JSON(), list[Any]: JSON()}  # noqa: RUF012


class Sync(Table):
    __tablename__ = "syncs"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    trigger: Mapped[str]
    revision: Mapped[str | None]
    state: Mapped[str]
    requested_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    message: Mapped[str | None]
    actions: Mapped[list[Any]]
    kept: Mapped[int]
    phases: Mapped[list[Any]]


class Number(Table):
    """The last release number given to a service; it outlives the service. No name: the last of all of them."""

    __tablename__ = "numbers"

    service: Mapped[str] = mapped_column(String(64), primary_key=True)
    last: Mapped[int]


class Release(Table):
    __tablename__ = "releases"
    __table_args__ = (Index(None, "service", "number", unique=True), Index(None, "phase"))

    id: Mapped[str] = mapped_column(String(96), primary_key=True)
    service: Mapped[str] = mapped_column(String(64))
    number: Mapped[int]
    serial: Mapped[int] = mapped_column(unique=True)
    """The order in which releases of all services were begun; clocks can be wrong."""
    digest: Mapped[str]
    ingredients: Mapped[dict[str, Any]]
    revision: Mapped[str]
    sync: Mapped[int | None]
    config: Mapped[dict[str, Any]]
    environment: Mapped[str | None]
    folder: Mapped[str | None]
    prefix: Mapped[str | None]
    facts: Mapped[dict[str, Any]]
    phase: Mapped[str]
    phase_at: Mapped[datetime]
    reason: Mapped[str | None]
    message: Mapped[str | None]
    problems: Mapped[list[Any]]
    detail: Mapped[str | None]
    created_at: Mapped[datetime]
    live_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]


class Service(Table):
    __tablename__ = "services"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    live: Mapped[str | None] = mapped_column(String(96), ForeignKey("releases.id"))
    parked: Mapped[str | None] = mapped_column(String(96))
    watched_until: Mapped[datetime | None]
    suspended: Mapped[str | None]
    held: Mapped[str | None]
    held_digest: Mapped[str | None]
    attempted: Mapped[str | None]
    applied: Mapped[str | None]
    changed: Mapped[str | None]
    conditions: Mapped[list[Any]]


class FailedDigest(Table):
    __tablename__ = "failed_digests"

    service: Mapped[str] = mapped_column(String(64), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    release: Mapped[str] = mapped_column(String(96))
    reason: Mapped[str]
    message: Mapped[str]
    problems: Mapped[list[Any]]
    detail: Mapped[str | None]
    at: Mapped[datetime]


class Worker(Table):
    __tablename__ = "workers"
    __table_args__ = (Index(None, "gone_at"), Index(None, "release"))

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    release: Mapped[str] = mapped_column(String(96), ForeignKey("releases.id", ondelete="CASCADE"))
    number: Mapped[int]
    socket: Mapped[str]
    private: Mapped[str]
    pid: Mapped[int | None]
    started: Mapped[str | None]
    began_at: Mapped[datetime]
    gone_at: Mapped[datetime | None]
    status: Mapped[int | None]


class Job(Table):
    """A job that a live release brought along, or once did, and how far its times are settled."""

    __tablename__ = "jobs"

    service: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    times: Mapped[str]
    """What decides when it is due, as text."""
    settled: Mapped[datetime]
    forgotten: Mapped[datetime | None]
    """No run scheduled until then is remembered one by one any more, and none is begun again."""
    missed: Mapped[int]
    gone_at: Mapped[datetime | None]


class Run(Table):
    __tablename__ = "runs"
    __table_args__ = (
        Index(None, "service", "number"),
        Index(None, "service", "job", "number"),
        Index(None, "state"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    id: Mapped[str] = mapped_column(String(128), unique=True)
    """A function of service, job and scheduled time: no time is run twice."""
    service: Mapped[str] = mapped_column(String(64))
    job: Mapped[str] = mapped_column(String(64))
    cause: Mapped[str]
    actor: Mapped[str | None]
    scheduled_at: Mapped[datetime]
    state: Mapped[str]
    release: Mapped[str | None] = mapped_column(String(96))
    began_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    message: Mapped[str | None]
    detail: Mapped[str | None]


class Event(Table):
    __tablename__ = "events"
    __table_args__ = (Index(None, "service", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str]
    service: Mapped[str | None] = mapped_column(String(64))
    release: Mapped[str | None] = mapped_column(String(96))
    sync: Mapped[int | None]
    revision: Mapped[str | None]
    message: Mapped[str]
    data: Mapped[dict[str, Any]]


class Secret(Table):
    """One version of a secret. Its value is sealed, and the key to that is not in this database."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    by: Mapped[str]
    removed: Mapped[bool]
    content: Mapped[bytes | None] = mapped_column(LargeBinary)
    wrapped: Mapped[bytes | None] = mapped_column(LargeBinary)
    master: Mapped[str | None] = mapped_column(String(32))


class AccessToken(Table):
    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64))
    name: Mapped[str]
    kind: Mapped[str]
    scopes: Mapped[list[Any]]
    services: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    parent: Mapped[str | None] = mapped_column(String(12))
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Audit(Table):
    """Who changed what. The database itself refuses to change or remove a row."""

    __tablename__ = "audit"
    __table_args__ = ({"sqlite_autoincrement": True, "info": {"only_appended": True}},)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    token: Mapped[str | None]
    action: Mapped[str]
    service: Mapped[str | None]
    address: Mapped[str]
    status: Mapped[int]


class Commit(Table):
    __tablename__ = "commits"
    __table_args__ = (Index(None, "number"),)

    sha: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int]
    author: Mapped[str]
    subject: Mapped[str]
    at: Mapped[datetime | None]


class Webhook(Table):
    """One webhook that was genuine."""

    __tablename__ = "webhooks"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    identity: Mapped[str] = mapped_column(String(64), unique=True)
    """By which it is known again."""
    provider: Mapped[str] = mapped_column(String(16))
    delivery: Mapped[str]
    event: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str]
    received_at: Mapped[datetime]
    repeats: Mapped[int]
    repeated_at: Mapped[datetime | None]
    sync: Mapped[int | None]


class Source(Table):
    """One row: what is known of the source as a whole."""

    __tablename__ = "source"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    attempted: Mapped[str | None]
    applied: Mapped[str | None]
    at: Mapped[datetime]


class Keeper(Table):
    """One row: whose history this journal is, and which server keeps it. Server and moment matter in a database."""

    __tablename__ = "keeper"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    history: Mapped[str] = mapped_column(String(36))
    server: Mapped[str] = mapped_column(String(36))
    position: Mapped[int] = mapped_column(BigInteger)
    """Up to which entry of that server's spool the database holds what it should."""
    seen_at: Mapped[datetime | None]
    """When that server was last there; none when it has left."""


class Delivery(Table):
    """How much of the spool a destination has got. Only in the file of a server."""

    __tablename__ = "deliveries"

    destination: Mapped[str] = mapped_column(String(32), primary_key=True)
    position: Mapped[int]


class Spooled(Table):
    """One change of a row that some destination has not got yet. Only in the file of a server."""

    __tablename__ = "spool"
    __table_args__ = ({"sqlite_autoincrement": True},)

    seq: Mapped[int] = mapped_column(primary_key=True)
    of: Mapped[str] = mapped_column(String(64))
    """The name of the table; none where everything before is void."""
    gone: Mapped[bool]
    row: Mapped[str]
    """The whole row as it became, as JSON; of one that is gone, its key."""


_OF_ONE_FILE = {"keeper", "deliveries", "spool"}


def is_only_appended(table: SQLTable) -> bool:
    """Its rows are never changed or removed, not even by us."""
    return bool(table.info.get("only_appended"))


def journaled() -> tuple[SQLTable, ...]:
    """What a journal tells, wherever it is kept; a table after those it refers to."""
    return tuple(table for table in Table.metadata.sorted_tables if table.name not in _OF_ONE_FILE)
