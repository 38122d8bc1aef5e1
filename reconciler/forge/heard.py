"""What a forge has heard already: nothing is said twice in a row."""

from collections import OrderedDict
from typing import Final

from reconciler.model.statement import State, Statement

MOST: Final = 10_000


class Heard:
    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, str], tuple[State, str]] = OrderedDict()
        self._asked: OrderedDict[str, None] = OrderedDict()

    def knows(self, statement: Statement) -> bool:
        return self._last.get(statement.key) == (statement.state, statement.description)

    def note(self, statement: Statement) -> None:
        self._last[statement.key] = statement.state, statement.description
        self._last.move_to_end(statement.key)
        while len(self._last) > MOST:
            self._last.popitem(last=False)

    def has_asked(self, sha: str) -> bool:
        """Whether the forge itself was asked what it heard of this commit."""
        return sha in self._asked

    def asked(self, sha: str) -> None:
        self._asked[sha] = None
        while len(self._asked) > MOST:
            self._asked.popitem(last=False)
