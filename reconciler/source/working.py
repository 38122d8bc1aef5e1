"""A folder that somebody works in, seen as the commit it would make now.

Git itself says what belongs to it: everything it would add, nothing it ignores, links as links, filters
applied. The result lies in a place of ours, borrowing the objects that the repository has already, and is read
as a `Tree` like any other; so a folder with changes is judged exactly as it will be once it is pushed. Refuses
to write a single byte into the repository: it has an index and objects of its own.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import ObjectType

from reconciler.model.failure import Reason, Stalled
from reconciler.model.names import ObjectId
from reconciler.source.objects import Objects
from reconciler.source.tree import Tree

SECONDS = 120.0
EMPTY = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""Git's name for the tree without entries, in every repository."""
QUIET = ("-c", "core.fsync=none", "-c", "core.compression=0", "-c", "gc.auto=0", "-c", "advice.addEmbeddedRepo=false")


@dataclass(frozen=True, slots=True)
class WorkingTree:
    """What one folder held at one moment. Kept below `place` until the next one is taken there."""

    root: Path
    sha: ObjectId
    """Of a commit that only this place knows."""
    place: Path
    _git: "_Git"

    @classmethod
    def take(cls, root: Path, place: Path) -> "WorkingTree":
        """Look at `root` and everything below it. Raises `Stalled` with git's own words when git cannot."""
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True, mode=0o700)
        git = _Git.around(root.resolve(), place.resolve())
        git.say("add", "--all", "--", ".")
        sha = git.commit(git.tree_below(git.say("write-tree", "--missing-ok")))
        return cls(git.root, sha, place, git)

    def tree(self, sha: ObjectId | None = None) -> Tree:
        """As it is now; or as it was, by what `at` answered."""
        return Tree(Objects(self.place, lambda: None), sha or self.sha)

    def at(self, ref: str) -> ObjectId | None:
        """The same folder as it stood in a commit of the repository; None when there is no such commit."""
        commit = self._git.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        return None if commit is None else self._git.commit(self._git.tree_below(commit))


@dataclass(frozen=True, slots=True)
class _Git:
    """The user's own git with the user's own configuration: what it ignores and filters is theirs to say."""

    root: Path
    below: str
    """Where the root is in its repository: `apps/shop/`, or nothing."""
    environ: Mapping[str, str]
    objects: Path

    @classmethod
    def around(cls, root: Path, place: Path) -> "_Git":
        objects = place / "objects"
        (objects / "info").mkdir(parents=True)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environ = {**inherited, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
        outside = cls(root, "", environ, objects)
        ours = {"GIT_INDEX_FILE": str(place / "index")}
        if _repository_around(root) is None:
            # A folder that is no repository gets one, elsewhere, for as long as it is looked at.
            outside.say("init", "--quiet", "--bare", "--template=", str(place / "git"))
            ours |= {"GIT_DIR": str(place / "git"), "GIT_WORK_TREE": str(root)}
            (objects / "info" / "alternates").write_text(f"{place / 'git' / 'objects'}\n")
        else:
            index, shared, below = (
                outside.say("rev-parse", *words)
                for words in (("--git-path", "index"), ("--git-path", "objects"), ("--show-prefix",))
            )
            (objects / "info" / "alternates").write_text(f"{(root / shared).resolve()}\n")
            if (root / index).exists():
                # With what git remembers of unchanged files, only changed ones are read. The time of the copy is part
                # of that: a file as young as the index is read again, since it may have changed within the same tick.
                shutil.copy2(root / index, place / "index")
            outside = cls(root, below, environ, objects)
        return cls(root, outside.below, {**environ, **ours, "GIT_OBJECT_DIRECTORY": str(objects)}, objects)

    def say(self, *words: str) -> str:
        done = self._run(words)
        if done.returncode != 0:
            raise _refused(words[0], done.stderr)
        return done.stdout.rstrip("\n")

    def ask(self, *words: str) -> str | None:
        """Like `say`, where a refusal is an answer."""
        done = self._run(words)
        return done.stdout.rstrip("\n") if done.returncode == 0 else None

    def tree_below(self, treeish: str) -> str:
        """The tree of the root, which may not be there at all."""
        return self.ask("rev-parse", "--verify", "--quiet", f"{treeish}:{self.below.rstrip('/')}") or EMPTY

    def commit(self, tree: str) -> ObjectId:
        """A commit of ours around a tree, since a `Tree` begins at a commit."""
        odb = pygit2.Odb(str(self.objects))
        if tree == EMPTY:
            odb.write(ObjectType.TREE, b"")
        return ObjectId(str(odb.write(ObjectType.COMMIT, f"tree {tree}\n\n".encode())))

    def _run(self, words: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
        command = ["git", *QUIET, *words]
        try:
            return subprocess.run(
                command,
                check=False,
                cwd=self.root,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
            )
        except FileNotFoundError:
            raise _refused(words[0], "git is not installed") from None
        except subprocess.TimeoutExpired:
            raise _refused(words[0], f"it took longer than {SECONDS:g} s") from None


def _repository_around(root: Path) -> Path | None:
    return next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), None)


def _refused(verb: str, words: str) -> Stalled:
    lines = [line for line in words.strip().splitlines() if not line.startswith(("hint:", "warning:"))]
    why = lines[0].removeprefix("fatal: ").removeprefix("error: ") if lines else "it does not say why"
    return Stalled(Reason.SOURCE_UNAVAILABLE, f"git cannot tell what the folder holds (`git {verb}`): {why}")
