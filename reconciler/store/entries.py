"""What all groups of entries share: the connection of the transaction they are part of."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from reconciler.model.problem import Problem


class Entries:
    """Reads and writes inside one transaction. Only the journal's thread may hold one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection


def problems_as_json(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    return [{key: value for key, value in asdict(problem).items() if value is not None} for problem in problems]


def problems_from_json(problems: Iterable[Mapping[str, Any]]) -> tuple[Problem, ...]:
    return tuple(Problem(**problem) for problem in problems)
