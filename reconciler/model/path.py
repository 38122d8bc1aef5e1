"""Paths that a manifest may name: inside the repository, written in one way only.

Refuses whatever could lead elsewhere: absolute paths, `..`, backslashes, `.git`. Whether there is such a file
is for the tree to say.
"""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, WithJsonSchema

from reconciler.model.diagnosis import refuse

LONGEST: Final = 512
PATTERN: Final = r"^(?!/)(?!.*(^|/)\.\.?(/|$))(?!.*//)(?!.*\*\*)[^\\\s]([^\\\n]*[^\\\s/])?$"


def check_path(path: str) -> str:
    """One file or folder, relative to where the manifest says."""
    steps = path.split("/")
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path) or "\\" in path or "://" in path:
        refuse("path-outside", "{value} is not a path inside the repository", remedy="write it relative, with `/`")
    if ".." in steps:
        refuse("path-outside", "{value} leads out of its folder", remedy="remove the `..`")
    if not path or "" in steps or "." in steps or path != path.strip():
        refuse("bad-path", "{value} is not written as a plain path", expected="a path such as `shared/models.py`")
    if len(path.encode()) > LONGEST or any(len(step.encode()) > 255 for step in steps):
        refuse("bad-path", "this path is too long", expected=f"at most {LONGEST} bytes, 255 for each name")
    if any(step.lower() == ".git" for step in steps):
        refuse("path-outside", "{value} is git's own", remedy="remove it")
    return path


def check_glob(glob: str) -> str:
    """The same with `*`, `?` and `[…]` in its steps."""
    check_path(glob)
    for step in glob.split("/"):
        if "**" in step:
            refuse("bad-path", "`**` is not understood in {value}", remedy="write one `*` for each level")
        if step.count("[") != step.count("]"):
            refuse("bad-path", "a `[` in {value} is not closed", remedy="close it with `]`")
    return glob


def _schema(**more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": PATTERN, "maxLength": LONGEST, **more})


InnerPath = Annotated[str, AfterValidator(check_path), _schema(examples=["requirements.txt"])]
Glob = Annotated[str, AfterValidator(check_glob), _schema(examples=["shared/*"])]
