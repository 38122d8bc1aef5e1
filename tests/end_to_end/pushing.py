"""The real git client, pushing to a server as people do."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.platform import Platform
from tests.end_to_end.repository import AUTHOR

TALKING = {**AUTHOR, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}


@dataclass(frozen=True, slots=True)
class Pushed:
    """How a push ended, and what stood in the terminal."""

    code: int
    said: str

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.said.splitlines()]

    @property
    def remote(self) -> str:
        """What the server said."""
        return "\n".join(line.removeprefix("remote: ") for line in self.lines if line.startswith("remote: "))


def remote(platform: Platform, *, token: str | None = None, name: str = "services") -> str:
    """The address to push to; the token is the password of any user name."""
    password = platform.token if token is None else token
    return f"http://anybody:{password}@127.0.0.1:{platform.control_port}/git/{name}.git"


def git(folder: Path, *words: str, within: float = 60) -> Pushed:
    done = subprocess.run(
        ["git", *words],
        cwd=folder,
        env=TALKING,
        capture_output=True,
        text=True,
        timeout=within,
        stdin=subprocess.DEVNULL,
    )
    return Pushed(done.returncode, done.stdout + done.stderr)


def push(platform: Platform, *words: str, token: str | None = None, within: float = 60) -> Pushed:
    """`git push` of what was committed; `main` unless told otherwise."""
    options = [word for word in words if word.startswith("-")]
    refs = [word for word in words if not word.startswith("-")] or ["main"]
    return git(platform.repository.path, "push", *options, remote(platform, token=token), *refs, within=within)


def begin_push(platform: Platform, *refs: str) -> "subprocess.Popen[bytes]":
    """A push that is not waited for."""
    words = ["git", "push", remote(platform), *(refs or ("main",))]
    return subprocess.Popen(
        words, cwd=platform.repository.path, env=TALKING, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip


def backends(platform: Platform) -> list[str]:
    """git processes that serve a client of this server."""
    return [process.command for process in platform.family() if "git" in Path(process.command.partition(" ")[0]).name]


def hosted(platform: Platform) -> Path:
    return platform.data / "git" / "services.git"


def ref(platform: Platform, name: str = "refs/heads/main") -> str:
    return git(hosted(platform), "rev-parse", "--verify", "--quiet", name).said.strip()
