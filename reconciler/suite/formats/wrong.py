"""Something in a foreign file that a suite cannot do, on its way to becoming a problem."""

from reconciler.model.position import Position, excerpt


class Wrong(Exception):
    def __init__(self, code: str, message: str, line: int, text: str = "", remedy: str | None = None) -> None:
        super().__init__(message)
        self.code, self.remedy = code, remedy
        self._line, self._text = line, text

    def place(self, file: str) -> Position:
        return place(self._line, self._text, file)


def place(number: int, text: str, file: str) -> Position:
    first = text.split("\n")[0]
    return Position(number, len(first) - len(first.lstrip()) + 1, excerpt(first), file)
