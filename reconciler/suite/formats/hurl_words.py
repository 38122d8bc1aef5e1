"""The words of a `.hurl` assert or capture: strings, numbers, patterns, names; nothing is known of their meaning."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

WORD: Final = re.compile(
    r"""\s*(?:
    (?P<comment>\#.*) |
    "(?P<string>(?:[^"\\]|\\.)*+)" |
    /(?P<regex>(?:[^/\\]|\\.)+)/ |
    `(?P<raw>[^`]*)` |
    (?P<template>\{\{.*?\}\}) |
    (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)(?![\w.]) |
    (?P<name>==|!=|>=|<=|>|<|[A-Za-z][\w-]*(?:,[^;]*;)?)
    )""",
    re.VERBOSE,
)
ESCAPE: Final = re.compile(r"\\(u\{([0-9a-fA-F]{1,6})\}|.)")
ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}

Kind: TypeAlias = Literal["string", "regex", "template", "number", "name"]


class Unreadable(ValueError):
    """The rest of the line is no word of this language."""


@dataclass(frozen=True, slots=True)
class Word:
    kind: Kind
    value: Any

    def is_name(self, *names: str) -> bool:
        return self.kind == "name" and self.value in names


def words(line: str) -> list[Word]:
    return list(_words(line))


def unescaped(text: str) -> str:
    return ESCAPE.sub(lambda found: chr(int(found[2], 16)) if found[2] else ESCAPES.get(found[1], found[1]), text)


def _words(line: str) -> Iterator[Word]:
    at = 0
    line = line.rstrip()
    while at < len(line):
        found = WORD.match(line, at)
        if found is None:
            raise Unreadable(line[at:].strip()[:60])
        at = found.end()
        kind = found.lastgroup
        text = found[kind] if kind else ""
        if kind == "comment":
            return
        if kind in ("string", "raw"):
            yield Word("string", unescaped(text) if kind == "string" else text)
        elif kind == "number":
            yield Word("number", float(text) if re.search("[.eE]", text) else int(text))
        elif kind == "regex":
            yield Word("regex", text.replace("\\/", "/"))
        else:
            yield Word("template" if kind == "template" else "name", text)
