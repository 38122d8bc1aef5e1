"""The spool: every change of the journal that some destination has not got yet, in order.

The file's own triggers write it, in the very transaction that makes the change, so a change cannot be durable
without its entry nor an entry without its change. The triggers belong to the connection: nobody spools for a
destination that is not wanted. An entry holds the whole row as it became, so carrying it out twice does no harm.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import Column, Connection, Dialect, LargeBinary, delete, func, insert, select, text, update
from sqlalchemy import Table as SQLTable

from reconciler.store.tables import Delivery, Keeper, Spooled, journaled
from reconciler.store.unusable import StoreUnusable

T = TypeVar("T")
Submit = Callable[[Callable[[Connection], T]], "Future[T]"]

DATABASE = "database"
SUPABASE = "supabase"
LEASE = 30.0
"""A server that was not heard of for so long has gone."""
READ_AT_ONCE = 200
EVERYTHING = ""
"""In place of a table's name: whatever was told before is void, and all rows follow."""

_OUTLASTS_THE_DISK = 60.0


@dataclass(frozen=True, slots=True)
class Change:
    seq: int
    table: SQLTable | None
    """None: everything before is void."""
    gone: bool
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """Whose history a journal is, and which server keeps it."""

    history: str
    server: str
    position: int = 0
    age: float | None = None
    """Seconds since that server was there; None when it has left."""

    @property
    def is_there(self) -> bool:
        return self.age is not None and self.age < LEASE


class Spool:
    """What one destination has not got yet. For threads that carry it there; each call is a step of the writer's."""

    def __init__(self, submit: Submit[Any], destination: str) -> None:
        self._submit = submit
        self._destination = destination

    def keeper(self) -> Kept:
        found: Kept = self._ask(lambda connection: keeper(connection) or name_keeper(connection))
        return found

    def position(self) -> int:
        return int(self._ask(lambda connection: position(connection, self._destination)) or 0)

    def last(self) -> int:
        """The newest entry. Steps are whole, so everything up to it is a journal as it once was."""
        return int(self._ask(last))

    def after(self, seq: int, upto: int) -> list[Change]:
        """The next few, in order."""
        found: list[Change] = self._ask(lambda connection: _read(connection, seq, upto))
        return found

    def waiting(self) -> int:
        return int(self._ask(lambda connection: waiting(connection, self._destination)))

    def delivered(self, seq: int) -> None:
        self._ask(lambda connection: note_delivered(connection, self._destination, seq))

    def everything(self) -> int:
        """Spool every row there is; the position from which they follow."""
        return int(self._ask(lambda connection: spool_everything(connection, self._destination)))

    def _ask(self, step: Callable[[Connection], Any]) -> Any:
        try:
            return self._submit(step).result(_OUTLASTS_THE_DISK)
        except TimeoutError:
            raise StoreUnusable(
                "The journal does not answer.", "See whether the data folder's disk is in order.", may_pass=True
            ) from None


def keep_to(connection: Connection, destinations: Collection[str]) -> None:
    """Forget what others had got: it is not spooled for them any more."""
    connection.execute(delete(Delivery).where(Delivery.destination.not_in(destinations)))
    _trim(connection)


def watch(connection: Connection, destinations: Collection[str]) -> None:
    """From now on spool what changes, for these; one that is new gets all there is."""
    for destination in destinations:
        if position(connection, destination) is None:
            spool_everything(connection, destination)
    for table in journaled():
        for statement in _triggers(table):
            connection.exec_driver_sql(statement)


def keeper(connection: Connection) -> Kept | None:
    row = connection.execute(select(Keeper.history, Keeper.server)).first()
    return Kept(*row) if row is not None else None


def name_keeper(connection: Connection, history: str | None = None) -> Kept:
    """Who this server is, from now on."""
    mine = Kept(history or str(uuid4()), str(uuid4()))
    connection.execute(delete(Keeper))
    connection.execute(insert(Keeper).values(id=1, history=mine.history, server=mine.server, position=0))
    return mine


def position(connection: Connection, destination: str) -> int | None:
    """What it has got; None when it was not told of everything that happened."""
    found = select(Delivery.position).where(Delivery.destination == destination)
    return connection.execute(found).scalar()


def last(connection: Connection) -> int:
    found = connection.execute(text("SELECT seq FROM sqlite_sequence WHERE name = 'spool'")).scalar()
    return int(found or 0)


def waiting(connection: Connection, destination: str) -> int:
    got = position(connection, destination) or 0
    return int(connection.execute(select(func.count()).where(Spooled.seq > got)).scalar_one())


def note_delivered(connection: Connection, destination: str, seq: int) -> None:
    if not connection.execute(update(Delivery).filter_by(destination=destination).values(position=seq)).rowcount:
        connection.execute(insert(Delivery).values(destination=destination, position=seq))
    _trim(connection)


def spool_everything(connection: Connection, destination: str) -> int:
    before = last(connection)
    connection.execute(insert(Spooled).values(of=EVERYTHING, gone=True, row="{}"))
    for table in journaled():
        connection.exec_driver_sql(
            f'INSERT INTO spool ("of", gone, "row") SELECT \'{table.name}\', 0, {_as_json(table.columns)} '  # noqa: S608
            f'FROM "{table.name}" ORDER BY rowid'
        )
    note_delivered(connection, destination, before)
    return before


def _trim(connection: Connection) -> None:
    """Forget what everybody has got."""
    slowest = select(func.coalesce(func.min(Delivery.position), last(connection))).scalar_subquery()
    connection.execute(delete(Spooled).where(Spooled.seq <= slowest))


def _read(connection: Connection, seq: int, upto: int) -> list[Change]:
    query = select(Spooled.__table__).where(Spooled.seq > seq, Spooled.seq <= upto).order_by(Spooled.seq)
    tables = {table.name: table for table in journaled()}
    rows = connection.execute(query.limit(READ_AT_ONCE)).all()
    return [
        Change(row.seq, table := tables.get(row.of), row.gone, _plain(table, row.row, connection.dialect))
        for row in rows
    ]


def _triggers(table: SQLTable) -> list[str]:
    """For this connection only: the file itself stays as every other program knows it."""
    put, key = _as_json(table.columns, "NEW."), _as_json(table.primary_key.columns, "OLD.")
    told = {"INSERT": (0, put), "UPDATE": (0, put), "DELETE": (1, key)}
    return [
        f'CREATE TEMP TRIGGER "spool_{table.name}_{verb}" AFTER {verb} ON main."{table.name}" '  # noqa: S608
        f'BEGIN INSERT INTO spool ("of", gone, "row") VALUES (\'{table.name}\', {gone}, {row}); END'
        for verb, (gone, row) in told.items()
    ]


def _as_json(columns: Iterable[Column[Any]], row: str = "") -> str:
    pairs = (f"'{column.name}', {_as_text(column, row)}" for column in columns)
    return f"json_object({', '.join(pairs)})"


def _as_text(column: Column[Any], row: str) -> str:
    """What a column holds as something that JSON can hold."""
    value = f'{row}"{column.name}"'
    return f"CASE WHEN {value} IS NULL THEN NULL ELSE hex({value}) END" if _is_binary(column) else value


def _plain(table: SQLTable | None, row: str, dialect: Dialect) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(row) if table is not None else {}
    return {name: _value(column, told[name], dialect) for name, column in _columns(table) if name in told}


def _columns(table: SQLTable | None) -> list[tuple[str, Column[Any]]]:
    return [(column.name, column) for column in table.columns] if table is not None else []


def _value(column: Column[Any], value: Any, dialect: Dialect) -> Any:
    """As the program knows it, from what the file holds."""
    if value is not None and _is_binary(column):
        return bytes.fromhex(value)
    process = column.type.dialect_impl(dialect).result_processor(dialect, None)
    return process(value) if process is not None else value


def _is_binary(column: Column[Any]) -> bool:
    return isinstance(column.type, LargeBinary)
