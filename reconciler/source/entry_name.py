"""Which names of files are taken from git, and how the others are shown.

A name is bytes that somebody else chose. It must be the same name for every file system and every reader:
no control or invisible characters, no disguise of `.git`, nothing a program could take for an option, a
path, a device or another name. Refuses by kind, never by a list of known attacks alone.
"""

import unicodedata

LONGEST_NAME = 255
"""Bytes, the limit of the usual file systems."""

_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def objection(name: bytes) -> str | None:
    """Why a name is refused, as the end of the sentence `the name …`; None when it is fine."""
    if len(name) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} bytes"
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return "is not valid UTF-8"
    if not text.isprintable():
        return "holds control or invisible characters"
    return _objection_to_text(text)


def _objection_to_text(text: str) -> str | None:
    if text in ("", ".", ".."):
        return "stands for a folder itself"
    if text.startswith("-"):
        return "starts with a dash, so a program may take it for an option"
    if "\\" in text:
        return "holds a backslash, which is a separator elsewhere"
    if text.startswith(" ") or text.endswith((" ", ".")):
        return "starts or ends with a space, or ends with a dot"
    folded = text.casefold()
    if folded == ".git" or folded.startswith((".git:", "git~")):
        return "is git's own, or a disguise of it"
    if folded in _DEVICES:
        return "is a device on some systems"
    return None


def shown(name: bytes) -> str:
    """A name for people and keys: itself when it is plain, escaped when it is not."""
    text = name.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def collision_key(name: bytes) -> str:
    """Equal for names that some file system takes for the same one."""
    text = name.decode("utf-8", "backslashreplace")
    return text if text.isascii() and text.islower() else unicodedata.normalize("NFC", text).casefold()
