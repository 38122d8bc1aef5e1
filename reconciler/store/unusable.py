"""The one error of a journal that cannot be used, with the way out.

Database drivers tell their trouble in many classes and in prose. Whoever starts the server needs one
sentence and a remedy, and never a new empty journal in the place of a broken one.
"""

import sqlite3

from sqlalchemy.exc import DBAPIError


class StoreUnusable(Exception):
    def __init__(self, message: str, remedy: str, *, may_pass: bool = False) -> None:
        super().__init__(f"{message} {remedy}")
        self.message = message
        self.remedy = remedy
        self.may_pass = may_pass
        """The same attempt may succeed later: nothing about the journal itself is wrong."""


FULL = ("disk is full", "no space")

_SIGNS = (
    (
        ("locked", "busy"),
        "The journal is in use by another program.",
        "Stop the other server, or close the program that has the file open.",
    ),
    (
        ("not a database", "malformed", "corrupt", "file is encrypted"),
        "The journal is damaged.",
        "Restore it from a backup, or move it away to begin anew: services are read from git again, history is lost.",
    ),
    (
        FULL,
        "The disk is full, so the journal cannot be written.",
        "Make room below the data folder.",
    ),
    (
        ("readonly", "read-only", "unable to open", "permission denied", "disk i/o error"),
        "The journal cannot be written.",
        "See that the data folder exists, is writable and is on a working disk.",
    ),
)


def explain(error: BaseException) -> BaseException:
    """Trouble of the database as `StoreUnusable`; anything else as it is, for it is a bug."""
    if not isinstance(error, (DBAPIError, sqlite3.Error)):
        return error
    words = str(error.orig if isinstance(error, DBAPIError) else error).lower()
    for signs, message, remedy in _SIGNS:
        if any(sign in words for sign in signs):
            unusable = StoreUnusable(message, remedy, may_pass=signs is FULL)
            unusable.__cause__ = error
            return unusable
    return error
