"""The data folder: everything a server keeps, and the proof that only one server keeps it.

Opening it takes its lock and makes what a first start needs (version, admin token). Whoever merely asks a
running server reads `address` and `admin_token` and takes nothing. Refuses a folder that a newer version
wrote: guessing at its contents could lose them.
"""

import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from reconciler.misconfigured import Misconfigured

VERSION = 1
OWN_LOG = Path("logs") / "_platform"
"""What the platform says, beside what services say: none of them can have this name."""
TOKEN_PREFIX = "rcl_"  # noqa: S105 - what every token begins with
RUN_PREFIX = "rcl-"
LONGEST_TEMPORARY = 40
"""Socket paths end at 108 bytes (104 on macOS); a longer TMPDIR would leave no room for names."""
PREDECESSOR_GOES_WITHIN = 5.0
LOOK_TWICE_WITHIN = 0.5
"""A process that was just killed still has its number until somebody reaps it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a running server answers, as it wrote it down itself."""

    control: str
    services: str
    pid: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class DataFolder:
    """A data folder that this process owns until it closes it, or dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            _make(path)
            self.lock = _take_lock(path / "lock")
            _check_version(path / "version")
            _make_token(path / "admin-token")
        except OSError as error:
            reason = error.strerror or str(error)
            raise Misconfigured(
                f"the data folder {path} cannot be used: {reason}; choose another with --data"
            ) from error

    def close(self) -> None:
        os.close(self.lock)

    def clear_predecessor(self) -> bool:
        """Remove what a server left behind that was killed; say whether there was one."""
        remembered = self.path / "run"
        if not remembered.exists():
            return False
        run = Path(remembered.read_text().strip())
        if _is_run_folder_of(run, self.path):
            shutil.rmtree(run, ignore_errors=True)
        self.forget_run_folder()
        return True

    def make_run_folder(self) -> Path:
        """A private folder for sockets, outside the data folder because socket paths must be short."""
        temporary = tempfile.gettempdir()
        where = temporary if len(os.fsencode(temporary)) <= LONGEST_TEMPORARY else "/tmp"  # noqa: S108 - mkdtemp is private
        run = Path(tempfile.mkdtemp(prefix=RUN_PREFIX, dir=where))
        (run / "data").write_text(str(self.path))
        write_whole(self.path / "run", f"{run}\n")
        return run

    def forget_run_folder(self) -> None:
        (self.path / "run").unlink(missing_ok=True)

    def announce(self, address: Address) -> None:
        write_whole(self.path / "server.json", address.to_json() + "\n")

    def remember(self, repository: str, branch: str) -> None:
        """What is followed, for a start at which it is away. An address may hold a password: nobody else reads it."""
        write_whole(self.path / "followed.json", json.dumps({"repository": repository, "branch": branch}) + "\n")

    def withdraw(self) -> None:
        (self.path / "server.json").unlink(missing_ok=True)


def read_address(data: Path) -> Address | None:
    try:
        raw = json.loads((data / "server.json").read_text())
        return Address(str(raw["control"]), str(raw["services"]), int(raw["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_followed(data: Path) -> tuple[str, str] | None:
    """The repository and branch that a server followed with this folder the last time."""
    try:
        raw = json.loads((data / "followed.json").read_text())
        return str(raw["repository"]), str(raw["branch"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_admin_token(data: Path) -> str | None:
    try:
        return (data / "admin-token").read_text().strip() or None
    except OSError:
        return None


def write_whole(path: Path, text: str, mode: int = 0o600) -> None:
    """Put a file in place in one step: a reader finds the old text or the new, never half of it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _make(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = path / ".gitignore"
    if not ignore.exists():
        # The default place is inside the user's own repository, and a token lives here.
        ignore.write_text("*\n")


def _take_lock(path: Path) -> int:
    """Control holds this same lock through an inherited descriptor, so that a server killed a moment ago
    is waited for until nothing of it can write any more."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    began = time.monotonic()
    while not _locked(descriptor):
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        patience = LOOK_TWICE_WITHIN if _is_alive(owner) else PREDECESSOR_GOES_WITHIN
        if time.monotonic() - began > patience:
            os.close(descriptor)
            raise Misconfigured(
                f"another reconciler (pid {owner or 'unknown'}) uses this data folder: {path.parent}; "
                "choose another with --data"
            )
        time.sleep(0.02)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: str) -> bool:
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _check_version(path: Path) -> None:
    if not path.exists():
        write_whole(path, f"{VERSION}\n")
        return
    text = path.read_text().strip()
    if not text.isdigit() or int(text) > VERSION:
        raise Misconfigured(
            f"the data folder {path.parent} was written by a newer reconciler (its version is {text[:20]!r}, this one "
            f"knows {VERSION}); upgrade reconciler or choose another folder with --data"
        )


def _make_token(path: Path) -> None:
    if not path.exists():
        write_whole(path, TOKEN_PREFIX + secrets.token_urlsafe(32) + "\n")


def _is_run_folder_of(run: Path, data: Path) -> bool:
    """A copied data folder remembers its original's run folder, which may be in use."""
    try:
        owner = (run / "data").read_text()
        mine = run.stat(follow_symlinks=False).st_uid == os.getuid()
    except OSError:
        return False
    return run.name.startswith(RUN_PREFIX) and not run.is_symlink() and mine and owner == str(data)
