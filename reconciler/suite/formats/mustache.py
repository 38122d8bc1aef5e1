"""`{{name}}` of `.http` and `.hurl` files, written as the `${name}` of suites."""

import re
from collections.abc import Callable
from typing import Final

from reconciler.model.suite.template import NAME, literal

MARK: Final = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
BASE: Final = re.compile(r"\{\{\s*[A-Za-z_$][\w.-]*\s*\}\}(?=/|\?|$)")


class Unknown(ValueError):
    """Something between the braces that is no variable here; it is what the message says."""


Meaning = Callable[[str], str | None]
"""What stands between the braces, as the inside of `${…}`; None where it is nothing known."""


def converted(text: str, meaning: Meaning) -> str:
    """The text with its variables in our spelling, and everything that looks like ours protected."""
    parts: list[str] = []
    at = 0
    for mark in MARK.finditer(text):
        name = meaning(mark[1])
        if name is None:
            raise Unknown(mark[1])
        parts += [literal(text[at : mark.start()]), f"${{{name}}}"]
        at = mark.end()
    return "".join([*parts, literal(text[at:])])


def variable(name: str) -> str | None:
    return name if NAME.fullmatch(name) else None


def below_service(url: str, defined: Callable[[str], bool]) -> str | None:
    """The path that a URL means when its beginning is a variable nobody sets (`{{base_url}}/tasks`), or is missing."""
    base = BASE.match(url)
    if base and not defined(base.group()[2:-2].strip()):
        return url[base.end() :] or "/"
    return url if url.startswith("/") and not url.startswith("//") else None
