"""What a git that was killed, or that failed, leaves behind in a repository of ours.

Refuses to know when nobody else is at work there: whoever removes it does.
"""

from collections.abc import Iterable
from pathlib import Path

LOCKS = ("*.lock", "refs/**/*.lock")
"""Nobody holds them any more."""
UNFINISHED = ("objects/pack/tmp_*", "objects/pack/.tmp-*", "objects/??/tmp_*")
"""Packs and objects that were being written. Nothing refers to them, and each further try would leave as much again."""


def remove(folder: Path, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        for left in folder.glob(pattern):
            left.unlink(missing_ok=True)
