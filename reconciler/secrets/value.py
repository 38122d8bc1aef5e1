"""Which texts can be a secret, and which are poor ones.

A value ends in an environment variable: text without NUL, of a size that a process can carry. An empty one is a mistake
(a pipe that failed, a secret that CI does not give to forks) and counts as none.
"""

from typing import Final

from reconciler.inside.disguises import lines, why_not
from reconciler.model.unusable import Unusable

LARGEST: Final = 1024 * 1024
MOST_LINES: Final = 20_000
"""Each is looked for by itself in all that a service says, and whoever looks must have begun within a second."""
LARGEST_TO_PASS_ON: Final = 128 * 1024
"""The longest `NAME=value` that Linux lets a process hand to a program it starts."""


def check(value: str) -> None:
    if not value:
        raise Unusable("the value is empty")
    if "\0" in value:
        raise Unusable("the value holds a NUL, which no environment variable can; encode it, with `base64`, say")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise Unusable("the value is not text that can be written as UTF-8; encode it, with `base64`, say") from None
    if size > LARGEST:
        raise Unusable(f"the value has {size:,} bytes; an environment variable should not have over {LARGEST:,}")
    if value.count("\n") + value.count("\r") >= MOST_LINES and len(lines(value)) > MOST_LINES:
        raise Unusable(f"the value has over {MOST_LINES:,} different lines; encode it, with `base64 -w 0`, say")


def warnings(value: str) -> tuple[str, ...]:
    """What whoever sets it should know."""
    told = []
    if why := why_not(value):
        told.append(f"the value {why}, so it is not taken out of what services print")
    if len(value.encode()) > LARGEST_TO_PASS_ON:
        told.append("a service cannot start other programs while a variable has over 128 KiB")
    return tuple(told)
