"""A git repository that somebody works in, as a server sees it: commits, and history rewritten."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

AUTHOR = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
}
Files = Mapping[str, str | None]
"""Path to content; None takes the path away."""


class Repository:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.path, env=AUTHOR, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def head(self) -> str:
        return self.git("rev-parse", "HEAD").strip()

    def commit(self, files: Files, message: str = "Change it") -> str:
        for name, content in files.items():
            self._put(self.path / name, content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def rewrite(self, files: Files) -> str:
        """Replace the whole history by one commit that shares nothing with it."""
        self.git("checkout", "--quiet", "--orphan", "elsewhere")
        sha = self.commit(files, "Begin again")
        self.git("branch", "--force", "main", sha)
        self.git("checkout", "--quiet", "main")
        self.git("branch", "--delete", "--force", "elsewhere")
        return sha

    def _put(self, path: Path, content: str | None) -> None:
        if content is None:
            self.git("rm", "-r", "--quiet", "--force", "--ignore-unmatch", str(path.relative_to(self.path)))
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(content).lstrip("\n"))
