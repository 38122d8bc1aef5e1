"""Who keeps the journal of a database, and how it and the server's own file come to hold the same.

A history belongs to one server at a time. The server's file is what it works with; the database gets every
change in order, and tells all of it to a server that comes with an empty file. Refuses to mix two histories, to
keep one that another server keeps, and to drop anything that only one of the two places knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, literal, select, update
from sqlalchemy import Table as SQLTable
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as upsert

from reconciler.store import spool
from reconciler.store.postgres import Postgres
from reconciler.store.spool import DATABASE, LEASE, Change, Kept, Spool
from reconciler.store.tables import Keeper, is_only_appended, journaled
from reconciler.store.unusable import StoreUnusable

ROWS_AT_ONCE = 500


class Keeping:
    """The destination of a spool that is a database."""

    def __init__(self, url: str) -> None:
        self._postgres = Postgres(url)

    @property
    def place(self) -> str:
        return self._postgres.place

    def claim(self, file: Connection) -> None:
        """Make the two places agree, before anything else is done; one that is known here may be away."""
        with file.begin():
            is_known = spool.position(file, DATABASE) is not None
        try:
            with self._postgres.transaction() as database:
                # The file first: what it does not know of itself would be another server to it.
                with file.begin():
                    mine = _agree(file, database, _read_keeper(database))
                _put_keeper(database, mine)
        except StoreUnusable as trouble:
            if not (trouble.may_pass and is_known):
                raise StoreUnusable(trouble.message, trouble.remedy) from trouble

    def deliver(self, changes: Spool) -> None:
        """Carry everything there, as one transaction: the database always holds a journal as it once was."""
        with self._postgres.transaction() as database:
            mine, theirs = changes.keeper(), _read_keeper(database)
            if theirs is not None and (theirs.server != mine.server or theirs.position > changes.last()):
                raise _in_use(theirs)
            # Less than it had: it was brought back from a backup, or by a replica that was behind.
            got = -1 if theirs is None else theirs.position
            done = got if got >= changes.position() else changes.everything()
            upto = changes.last()
            while batch := changes.after(done, upto):
                _carry_out(database, batch)
                done = batch[-1].seq
            _put_keeper(database, replace(mine, position=upto))
        changes.delivered(upto)

    def leave(self, changes: Spool) -> None:
        """Say that nobody keeps it any more, so that another server need not wait."""
        mine = changes.keeper()
        with self._postgres.transaction() as database:
            database.execute(update(Keeper).where(Keeper.server == mine.server).values(seen_at=None))

    def close(self) -> None:
        self._postgres.forget()


def _agree(file: Connection, database: Connection, theirs: Kept | None) -> Kept:
    """What the database should say of its keeper from now on."""
    mine = spool.keeper(file)
    got = spool.position(file, DATABASE)
    if theirs is None:
        mine = mine or spool.name_keeper(file)
        return replace(mine, position=spool.spool_everything(file, DATABASE))
    if theirs.is_there and (mine is None or mine.server != theirs.server):
        raise _in_use(theirs)
    if mine is None or mine.history != theirs.history:
        if not _is_empty(file):
            raise StoreUnusable(
                "The database holds the history of another server, and so does the data folder.",
                "Give an empty data folder to go on with the database's, or another database.",
            )
        return _take_over(file, database, theirs)
    if mine.server == theirs.server and theirs.position <= spool.last(file):
        if got is None or theirs.position < got:
            # It ran for a while with no database, or the database forgot something.
            return replace(mine, position=spool.spool_everything(file, DATABASE))
        spool.note_delivered(file, DATABASE, theirs.position)
        return replace(mine, position=theirs.position)
    if got is None or spool.waiting(file, DATABASE):
        raise StoreUnusable(
            "Another server has kept this database since, and the data folder holds changes that never came there.",
            "Give an empty data folder to go on with the database's history, or another database.",
        )
    return _take_over(file, database, theirs)


def _take_over(file: Connection, database: Connection, theirs: Kept) -> Kept:
    """Bring everything here, in place of what is here."""
    _clear(file)
    for table in journaled():
        into = insert(table).prefix_with("OR IGNORE") if is_only_appended(table) else insert(table)
        rows = database.execute(select(table), execution_options={"yield_per": ROWS_AT_ONCE})
        for some in rows.mappings().partitions():
            file.execute(into, [dict(row) for row in some])
    mine = spool.name_keeper(file, theirs.history)
    start = spool.last(file)
    spool.note_delivered(file, DATABASE, start)
    return replace(mine, position=start)


def _clear(place: Connection) -> None:
    for table in reversed(journaled()):
        if not is_only_appended(table):
            place.execute(delete(table))


def _is_empty(file: Connection) -> bool:
    return all(file.execute(select(literal(1)).select_from(table).limit(1)).first() is None for table in journaled())


def _read_keeper(database: Connection) -> Kept | None:
    """Whoever else wants to change it waits until this transaction is over."""
    age = func.extract("epoch", func.now() - Keeper.seen_at)
    query = select(Keeper.history, Keeper.server, Keeper.position, age).with_for_update()
    row = database.execute(query).first()
    return None if row is None else Kept(row[0], row[1], row[2], None if row[3] is None else float(row[3]))


def _put_keeper(database: Connection, mine: Kept) -> None:
    values = {"history": mine.history, "server": mine.server, "position": mine.position, "seen_at": func.now()}
    database.execute(upsert(Keeper).values(id=1, **values).on_conflict_do_update(index_elements=["id"], set_=values))


def _carry_out(database: Connection, changes: Sequence[Change]) -> None:
    """In order; neighbours of a kind together."""
    for (table, gone), some in groupby(changes, key=lambda change: (change.table, change.gone)):
        if table is None:
            _clear(database)
        elif gone:
            key = [column == bindparam(f"key_{column.name}") for column in table.primary_key]
            database.execute(delete(table).where(*key), [_prefixed(change.row) for change in some])
        else:
            database.execute(_put(table), [dict(change.row) for change in some])


def _put(table: SQLTable) -> Insert:
    statement = upsert(table)
    rest = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    key = [column.name for column in table.primary_key]
    if is_only_appended(table):
        return statement.on_conflict_do_nothing(index_elements=key)
    return statement.on_conflict_do_update(index_elements=key, set_=rest)


def _prefixed(key: Mapping[str, Any]) -> dict[str, Any]:
    return {f"key_{name}": value for name, value in key.items()}


def _in_use(theirs: Kept) -> StoreUnusable:
    heard = f", which was there {theirs.age:.0f} s ago" if theirs.age is not None else ""
    return StoreUnusable(
        f"The database is in use by another server{heard}.",
        f"Stop that one, or wait {LEASE:.0f} s if it is gone for good.",
    )
