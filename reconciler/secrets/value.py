"""Which texts can be a secret, and which are poor ones.

A value ends in an environment variable: text without NUL, of a size that a process can carry. An empty one is a mistake
(a pipe that failed, a secret that CI does not give to forks) and counts as none.
"""

from typing import Final

LARGEST: Final = 1024 * 1024
LARGEST_TO_PASS_ON: Final = 128 * 1024
"""The longest `NAME=value` that Linux lets a process hand to a program it starts."""
SHORTEST_TO_HIDE: Final = 8

COMMON: Final = frozenset(
    {
        "administrator",
        "anonymous",
        "application/json",
        "authenticated",
        "changeme",
        "database",
        "development",
        "disabled",
        "localhost",
        "password",
        "postgres",
        "postgresql",
        "production",
        "service_role",
        "supabase",
        "undefined",
        "username",
    }
)


class Unusable(Exception):
    """Why this cannot be a value. Never holds it."""


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


def warnings(value: str) -> tuple[str, ...]:
    """What whoever sets it should know."""
    told = []
    if value.lower() in COMMON:
        told.append("this is a common word: hiding it wherever it is printed would damage other text")
    elif len(value) < SHORTEST_TO_HIDE:
        told.append(f"a value of fewer than {SHORTEST_TO_HIDE} characters cannot be hidden reliably in what is printed")
    if len(value.encode()) > LARGEST_TO_PASS_ON:
        told.append("a service cannot start other programs while a variable has over 128 KiB")
    return tuple(told)
