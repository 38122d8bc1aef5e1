"""What all groups of entries share: the connection of the transaction they are part of."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, Update, bindparam, insert, update
from sqlalchemy import Table as SQLTable

from reconciler.model.problem import Problem
from reconciler.store.tables import Table

NUMBER = re.compile("[0-9]{1,18}")
"""As many digits as every database takes."""


class Entries:
    """Reads and writes inside one transaction. Only the journal's thread may hold one.

    Statements are made once and given their values when executed: making one costs more than executing it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _add(self, insert: Insert, values: Mapping[str, Any]) -> int:
        """Insert a row that the database numbers; its number."""
        key = self._connection.execute(insert, values).inserted_primary_key
        if key is None:
            raise LookupError("the database gave the new row no number")
        return int(key[0])


def numbered(text: str) -> int:
    """The number of a row as somebody says it; 0, which no row has, where that is none."""
    return int(text) if NUMBER.fullmatch(text) else 0


def inserting(table: type[Table]) -> Insert:
    return insert(_plain(table))


def changing(table: type[Table], key: ColumnElement[Any]) -> Update:
    """An update of the row whose `key` is the parameter called `key`; the other parameters are what changes."""
    return update(_plain(table)).where(key == bindparam("key"))


def _plain(table: type[Table]) -> SQLTable:
    plain = table.__table__
    if not isinstance(plain, SQLTable):
        raise TypeError(f"{table.__name__} is not a table")
    return plain


def problems_as_json(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    return [{key: value for key, value in asdict(problem).items() if value is not None} for problem in problems]


def problems_from_json(problems: Iterable[Mapping[str, Any]]) -> tuple[Problem, ...]:
    return tuple(Problem(**problem) for problem in problems)
