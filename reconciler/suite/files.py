"""What a suite may read: the files of its service and of the paths it watches, and nothing else.

Whoever loads suites says which files there are and how to read one (from git, or from a folder); a path that
leads anywhere else simply is not there.
"""

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from reconciler.model.suite.pattern import Pattern, PatternError

GLOB = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
LARGEST = 1 << 20
"""Bytes of one file that a suite uses: a schema, an upload."""


@dataclass(frozen=True, slots=True)
class Files:
    folder: str
    """The service's folder in the repository: `services/tasks`."""
    names: frozenset[str]
    """Paths in the repository."""
    read: Callable[[str], bytes]

    def find(self, reference: str, beside: str) -> str | None:
        """The file that is meant: next to the one that names it, in the service's folder, or in the repository."""
        for start in (posixpath.dirname(beside), self.folder, ""):
            name = posixpath.normpath(posixpath.join(start, reference))
            if name in self.names:
                return name
        return None

    def matching(self, glob: str) -> tuple[str, ...]:
        """The service's own files, by a glob relative to its folder."""
        return tuple(sorted(name for name in self.names if is_match(posixpath.join(self.folder, glob), name)))

    def shown(self, name: str) -> str:
        """How people call it: relative to the service's folder."""
        return name.removeprefix(f"{self.folder}/")


def is_match(glob: str, name: str) -> bool:
    try:
        return _compiled(posixpath.normpath(glob)).found_in(name)
    except PatternError:  # longer than any path
        return False


@lru_cache(maxsize=256)
def _compiled(glob: str) -> Pattern:
    """On the linear engine, since the glob is a stranger's."""
    words = {"**/": "(?:[^/]+/)*", "**": "(?s:.*)", "*": "[^/]*", "?": "[^/]"}
    return Pattern(rf"\A{''.join(words.get(part, _escaped(part)) for part in GLOB.findall(glob))}\z")


def _escaped(text: str) -> str:
    return re.sub(r"[^\w/]", lambda found: f"\\x{{{ord(found.group()):x}}}", text)
