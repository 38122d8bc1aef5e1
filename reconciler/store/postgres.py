"""A PostgreSQL database that holds the journal, and what its troubles are called.

Everything is in a schema of its own: in a Supabase project the tables of `public` can be read by whoever has the
project's public key. Nothing outlasts a transaction, no setting, lock or prepared statement, so any pooler may
stand in between. Refuses to wait without end, and to say the password.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from reconciler.store.opening import bring_up_to_date
from reconciler.store.unusable import StoreUnusable

SCHEMA = "reconciler"
CONNECTS_WITHIN = 10
NETWORK_ANSWERS_WITHIN = 15
_WITHIN = f"""
SELECT set_config('search_path', '{SCHEMA}', true),
       set_config('statement_timeout', '30s', true),
       set_config('lock_timeout', '10s', true),
       set_config('idle_in_transaction_session_timeout', '60s', true)
"""
_SCHEMES = ("postgres", "postgresql", "postgresql+psycopg")
_ONE_AT_A_TIME = 0x7265636F6E63
"""The number under which whoever makes or claims the tables waits for another who does."""


class Postgres:
    def __init__(self, url: str) -> None:
        self._url = _address(url)
        connecting: dict[str, Any] = {
            "connect_timeout": CONNECTS_WITHIN,
            "prepare_threshold": None,
            "keepalives_idle": NETWORK_ANSWERS_WITHIN,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": NETWORK_ANSWERS_WITHIN * 1000,
        }
        given = {"application_name": "reconciler"}
        wanted = self._url.set(drivername="postgresql+psycopg", query={**given, **self._url.query})
        self._engine = create_engine(wanted, poolclass=NullPool, connect_args=connecting, hide_parameters=True)
        event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql(_WITHIN))
        self._connection: Connection | None = None

    @property
    def place(self) -> str:
        """For people."""
        return f"{self._url.host or 'this machine'}/{self._url.database or ''}"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """On the one connection there is; a new one is of this program's version before it is given out."""
        with _explained():
            if self._connection is None:
                self._connection = self._connect()
            try:
                with self._connection.begin():
                    yield self._connection
            except BaseException:
                self.forget()
                raise

    def forget(self) -> None:
        """Let go of the connection, whatever has become of it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError, psycopg.Error):
                connection.invalidate()
                connection.close()

    def _connect(self) -> Connection:
        connection = self._engine.connect()
        try:
            with connection.begin():
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ONE_AT_A_TIME})
                # Asked for beforehand: "if not exists" needs the right to create it even where it exists.
                if not connection.execute(text("SELECT to_regnamespace(:name)"), {"name": SCHEMA}).scalar():
                    connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
                bring_up_to_date(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _address(url: str) -> URL:
    """The error of whoever cannot read it would quote it, password included."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        address = None
    if address is None or address.drivername not in _SCHEMES:
        raise StoreUnusable(
            "The database URL is not one of PostgreSQL.", "Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
        )
    return address


_TROUBLES: tuple[tuple[tuple[str, ...], str, str, bool], ...] = (
    (
        ("password authentication failed", "no password supplied", "tenant or user not found", "pg_hba.conf"),
        "The database does not accept the user or its password.",
        "Look at both in the database URL.",
        False,
    ),
    (
        ("read-only", "recovery is in progress"),
        "The database is read-only.",
        "Give the URL of one that can be written to, or make it writable again.",
        True,
    ),
    (
        ("permission denied",),
        f"The user of the database may not use its schema {SCHEMA!r}.",
        f"As an owner of the database: CREATE SCHEMA {SCHEMA} AUTHORIZATION that user.",
        False,
    ),
    (
        ("invalid connection option", "invalid uri query", "invalid sslmode"),
        "The database URL has an option that is not one of libpq.",
        "Leave it out.",
        False,
    ),
    (("does not exist",), "There is no such database.", "Make it, or look at the end of the database URL.", False),
    (("disk full", "no space left"), "The database has no room left.", "Make room there.", True),
    (
        ("timeout", "timed out", "canceling statement"),
        "The database takes too long to answer.",
        "See what keeps it busy, or what is between it and this machine.",
        True,
    ),
)
_AWAY = ("The database cannot be reached.", "See that it runs, and that this machine may connect to it.")


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        raise explain_database(error) from error


def explain_database(error: DBAPIError | psycopg.Error) -> StoreUnusable:
    """In one sentence, with the way out; what cannot mend itself by waiting is told apart."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    words = str(cause).lower()
    for signs, message, remedy, may_pass in _TROUBLES:
        if any(sign in words for sign in signs):
            return StoreUnusable(message, remedy, may_pass=may_pass)
    if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreUnusable(*_AWAY, may_pass=True)
    first = str(cause).partition("\n")[0]
    return StoreUnusable(f"The database refused what it was told: {first}.", "This is a bug; please report it.")
