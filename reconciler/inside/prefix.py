"""Whose request it is: one segment below the mount, as exact bytes, the same on both sides of a hand-over.

Refuses a path that could mean another service to somebody who does decode or normalise it.
"""

import re
from typing import Final

from .head import bad

_IS_PLAIN: Final = re.compile(rb"[A-Za-z0-9_~-]+").fullmatch
_HAS_DISGUISE: Final = re.compile(rb"\\|%(?i:2f|5c|2e|00|0a|0d)").search
_SEPARATOR: Final = re.compile(rb"/|\\|%(?i:2f|5c)").split
_DOT: Final = re.compile(rb"%2[eE]").sub


def service_prefix(path: bytes, mount: bytes) -> bytes | None:
    """`/api/tasks` of `/api/tasks/7`: nothing is decoded; None outside the mount."""
    below = len(mount) + 1 if len(mount) > 1 else 1
    if not path.startswith(mount) or path[below - 1 : below] != b"/":
        _refuse_disguise(path, mount)
        return None
    end = path.find(b"/", below)
    if end < 0:
        end = len(path)
    prefix = path[:end]
    if not _IS_PLAIN(path[below:end]):
        _refuse_disguise(path, mount)
        return prefix if end > below else None
    if b".." in path or b"%" in path or b"\\" in path:
        _refuse_climbing(path[end:])
    return prefix


def _refuse_disguise(path: bytes, mount: bytes) -> None:
    """Nothing up to the first segment below the mount may be written in two ways."""
    segments = 1 + mount.strip(b"/").count(b"/") + 1 if mount.strip(b"/") else 1
    routed = b"/".join(path.split(b"/", segments + 1)[: segments + 1])
    if _HAS_DISGUISE(routed) or any(segment in (b".", b"..") for segment in routed.split(b"/")):
        bad("The path names its service in a disguised form.")


def _refuse_climbing(rest: bytes) -> None:
    """A path may not leave its service again, in any reading of dots, slashes and backslashes."""
    depth = 0
    for segment in _SEPARATOR(rest)[1:]:
        name = _DOT(b".", segment.partition(b";")[0])
        if name == b"..":
            depth -= 1
            if depth < 0:
                bad("The path climbs out of its service.")
        elif name not in (b"", b"."):
            depth += 1
