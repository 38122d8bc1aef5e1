"""Names that may be meant where another stands, and how a few of them are listed."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

_LONGEST_NAME: Final = 64


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The valid name that was probably meant."""
    if len(name) > _LONGEST_NAME:
        return None
    known = {_plain(each): each for each in names}
    close = difflib.get_close_matches(_plain(name), known, n=1, cutoff=0.6)
    return known[close[0]] if close else None


def did_you_mean(name: str, names: Iterable[str]) -> str | None:
    close = nearest(name, names)
    return f"did you mean `{close}`?" if close else None


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def one_of(names: Sequence[str]) -> str:
    return listed(names) if len(names) == 1 else f"one of {listed(names)}"


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
