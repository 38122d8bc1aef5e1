"""What this process knows of secrets, so that no text that it tells holds one.

Whoever asks for the value of a secret makes it known here; whoever tells something that services or their output had
a part in asks here first. What is known stays so: a value that was rotated may still stand in an answer or a log.
Refuses to give a value to anybody.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.inside.redaction import Redactor
from reconciler.model.failure import Failure
from reconciler.model.problem import Problem


@dataclass(frozen=True, slots=True)
class _Layer:
    """Secrets that became known at about the same time. To add one to many would mean to go through all of them."""

    secrets: tuple[tuple[str, str], ...]
    redactor: Redactor

    @classmethod
    def of(cls, secrets: tuple[tuple[str, str], ...]) -> "_Layer":
        return cls(secrets, Redactor(secrets))


class Veil:
    def __init__(self) -> None:
        self._known: set[str] = set()
        self._layers: list[_Layer] = []

    def know(self, secrets: Mapping[str, str]) -> None:
        """Names and values that are taken out of everything from now on."""
        new = {value: name for name, value in secrets.items() if value not in self._known}
        if not new:
            return
        self._known |= new.keys()
        self._layers.append(_Layer.of(tuple((name, value) for value, name in new.items())))
        # Each layer stays larger than all after it, so that there are few, and a secret seldom moves.
        while len(self._layers) > 1 and len(self._layers[-2].secrets) <= len(self._layers[-1].secrets):
            last = self._layers.pop()
            self._layers[-1] = _Layer.of(self._layers[-1].secrets + last.secrets)

    def text(self, text: str, *, goes_on: bool = False) -> str:
        """Of one that goes on, what may be the beginning of a secret at its end is left out."""
        for layer in self._layers:
            text = layer.redactor.text(text, goes_on=goes_on)
        return text

    def plain(self, value: Any) -> Any:
        """The same JSON, without a secret in any of its texts."""
        # All texts at once are looked through much faster than one by one, and hardly ever is there anything in them.
        together = "\n".join(_texts(value))
        return value if self.text(together) == together else self._plain(value)

    def failure(self, failure: Failure) -> Failure:
        """Its words, wherever they came from: it is the same failure afterwards."""
        failure.message = self.text(failure.message)
        failure.args = (failure.message,)
        failure.detail = None if failure.detail is None else self.text(failure.detail)
        failure.problems = tuple(self._problem(problem) for problem in failure.problems)
        return failure

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self._plain(key): self._plain(item) for key, item in value.items()}
        return [self._plain(item) for item in value] if isinstance(value, (list, tuple)) else value

    def _problem(self, problem: Problem) -> Problem:
        texts = ("message", "excerpt", "expected", "remedy")
        return replace(problem, **{name: self.plain(getattr(problem, name)) for name in texts})


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
