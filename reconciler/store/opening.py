"""Open the database, or say in one sentence why not.

Everything that can be wrong with a journal is found here, before anything is served: in use, damaged, not a
journal, from a newer version, not writable. A new journal is made beside its place and renamed, so that a
file at the place was complete once, and an empty one is damage. Refuses to start empty over anything.
"""

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.pool import NullPool

from reconciler.store.tables import HEAD
from reconciler.store.unusable import StoreUnusable, explain

BUSY_SECONDS = 2.0
_DAMAGED = "Restore it from a backup, or move it away to begin anew: services are read from git again, history is lost."


def open_database(path: Path) -> Connection:
    """A connection to a journal of this version."""
    try:
        return _open_file(path.absolute())
    except Exception as error:
        explained = explain(error)
        if explained is error:
            raise
        raise explained from error


def _open_file(path: Path) -> Connection:
    _check_file(path)
    if not path.exists():
        _create(path)
    connection = _sqlite(path).connect()
    try:
        _check_contents(connection)
        _keep_a_log(connection)
        with connection.begin():
            bring_up_to_date(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_file(path: Path) -> None:
    if path.exists():
        if not path.is_file():
            raise StoreUnusable(f"{path.name} is not a file.", "Move it away.")
        if path.stat().st_size == 0:
            raise StoreUnusable("The journal is damaged: it has no bytes.", _DAMAGED)
        return
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size > 0:
        raise StoreUnusable(
            f"The journal {path.name} is gone, but its log {log.name} is there.",
            "Put the file back, or move the log away to begin anew: services are read from git again, history is lost.",
        )


def _create(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.new")
        for left in (fresh, fresh.with_name(f"{fresh.name}-wal"), fresh.with_name(f"{fresh.name}-journal")):
            left.unlink(missing_ok=True)
    except OSError as error:
        message = f"The journal cannot be made: {error.strerror}."
        raise StoreUnusable(message, "See that the data folder can be written to.") from error
    connection = _sqlite(fresh).connect()
    try:
        _keep_a_log(connection)
        with connection.begin():
            bring_up_to_date(connection)
    finally:
        connection.close()
    fresh.chmod(0o600)
    fresh.rename(path)


def _sqlite(path: Path) -> Engine:
    engine = create_engine("sqlite://", creator=lambda: _connect(path), poolclass=NullPool)
    # Every transaction may write, so each takes the right to at its start, where waiting is harmless.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        # The lock is kept from the first use to the end: no second connection can ever write beside this one, and
        # no memory has to be shared with it, which also makes the log safe on file systems that cannot do that.
        for setting in ("locking_mode=EXCLUSIVE", "synchronous=FULL", "foreign_keys=ON", "mmap_size=0"):
            connection.execute(f"PRAGMA {setting}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _check_contents(connection: Connection) -> None:
    with connection.begin():
        verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if verdict != "ok":
            raise StoreUnusable("The journal is damaged.", _DAMAGED)
        if _version(connection) is None:
            raise StoreUnusable("The file at the journal's place holds something else.", "Move it away.")


def _keep_a_log(connection: Connection) -> None:
    """Write ahead. The file remembers this, so it is asked for only once the file is known to be ours."""
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        driver.execute("PRAGMA journal_mode=WAL").fetchall()


def bring_up_to_date(connection: Connection) -> None:
    """Within a transaction: either all of it becomes of this version, or nothing has happened."""
    version = _version(connection)
    if version == HEAD:
        return
    # Imported when there is something to migrate, which is once in the life of a version.
    from reconciler.store.migrate import migrate

    migrate(connection, version)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version
