"""Repositories in temporary folders, friendly and hostile.

Objects are written raw, so that a tree may hold what no git would ever put into one.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import pygit2
from pygit2.enums import ObjectType

from reconciler.model.names import ObjectId
from reconciler.source.objects import Objects
from reconciler.source.tree import Tree

Row: TypeAlias = tuple[str, bytes, str]
"""Mode, name and object id of an entry."""

ENVIRON = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


def git(folder: Path, *arguments: str, text: bytes = b"") -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=ENVIRON, input=text, capture_output=True, check=True, timeout=30
    )
    return done.stdout.decode().strip()


class Repository:
    def __init__(self, folder: Path, branch: str = "main") -> None:
        self.folder = folder
        self.branch = branch
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet", "--bare", f"--initial-branch={branch}")
        self._odb = pygit2.Odb(str(folder / "objects"))

    def blob(self, content: bytes) -> str:
        return str(self._odb.write(ObjectType.BLOB, content))

    def tree(self, rows: list[Row], *, ordered: bool = True) -> str:
        rows = sorted(rows, key=_git_order) if ordered else rows
        data = b"".join(f"{mode} ".encode() + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in rows)
        return str(self._odb.write(ObjectType.TREE, data))

    def folder_of(self, files: Mapping[str, bytes | Row]) -> str:
        """A tree of plain paths; a row in the place of a content is taken as it is."""
        rows: list[Row] = []
        below: dict[str, dict[str, bytes | Row]] = {}
        for path, content in files.items():
            name, slash, rest = path.partition("/")
            if slash:
                below.setdefault(name, {})[rest] = content
            elif isinstance(content, bytes):
                rows.append(("100644", name.encode(), self.blob(content)))
            else:
                rows.append(content)
        rows += [("40000", name.encode(), self.folder_of(inside)) for name, inside in below.items()]
        return self.tree(rows)

    def commit_object(self, data: bytes) -> str:
        return str(self._odb.write(ObjectType.COMMIT, data))

    def commit(self, tree: str, message: str = "change", *, parent: str | None = None) -> ObjectId:
        """Commit a tree and point the branch at it."""
        text = f"tree {tree}\n" + (f"parent {parent}\n" if parent else "")
        who = "Ada <ada@example.com> 1763640000 +0000"
        oid = self.commit_object(f"{text}author {who}\ncommitter {who}\n\n{message}\n".encode())
        self.point(oid)
        return ObjectId(oid)

    def push(self, files: Mapping[str, bytes | Row], message: str = "change") -> ObjectId:
        return self.commit(self.folder_of(files), message, parent=self.tip)

    def point(self, oid: str) -> None:
        reference = self.folder / "refs/heads" / self.branch
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(f"{oid}\n")

    @property
    def tip(self) -> str | None:
        reference = self.folder / "refs/heads" / self.branch
        return reference.read_text().strip() if reference.exists() else None

    def look(self, sha: ObjectId) -> Tree:
        """The tree of a commit, read as from a mirror."""
        return Tree(Objects(self.folder, lambda: None), sha)

    def look_at(self, files: Mapping[str, bytes | Row]) -> Tree:
        return self.look(self.push(files))


def link(name: str, target: bytes, repository: Repository) -> Row:
    return ("120000", name.encode(), repository.blob(target))


def _git_order(row: Row) -> bytes:
    mode, name, _ = row
    return name + b"/" if mode in ("40000", "040000") else name
