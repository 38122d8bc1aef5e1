"""A running reconciler and the repository it follows, with the few things a test does to them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from tests.end_to_end.processes import ROLES, Process, descendants, is_alive
from tests.end_to_end.repository import Files, Repository
from tests.waiting import until_sync

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-c", "import sys; from reconciler.cli import main; sys.exit(main())")
SHARED = ("environments", "locks", "cache")
"""What one data folder may take over from another: content-addressed, so equal wherever it lies."""
UNWRITTEN = "unwritten.db"
"""A journal of this version in which nothing is: the tables of each need not be made by migrating."""
Told = dict[str, Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(*words: str, data: Path | None = None, within: float = 60) -> subprocess.CompletedProcess[str]:
    """Run `reconciler` to its end, as a person would."""
    where = ("--data", str(data)) if data else ()
    return subprocess.run([*COMMAND, *words, *where], env=environ(), capture_output=True, text=True, timeout=within)


def environ(**more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECONCILER_")}
    return {**inherited, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **more}


@dataclass
class Platform:
    folder: Path
    template: Path | None = None
    flags: tuple[str, ...] = ("--poll", "1h")
    """Tests say themselves when to sync."""
    port: int = field(default_factory=free_port)
    control_port: int = field(default_factory=free_port)
    source: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of its environment, beside those of the tests."""
    receives: bool = False
    """Whether it hosts the repository itself."""

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.output = self.folder / "serve.log"
        self.repository = Repository(self.folder / "repository")
        self.server: subprocess.Popen[bytes] | None = None
        self.services = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)
        self.control = httpx.Client(base_url=f"http://127.0.0.1:{self.control_port}", timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.services.close()
        self.control.close()
        if self.server is not None and self.server.poll() is None:
            self.server.kill()
            self.server.wait(10)

    # Its life

    def start(self, *, ready_within: float = 60) -> Self:
        self.begin()
        until_sync(self.is_ready, within=ready_within, what="/readyz")
        self.control.headers["authorization"] = f"Bearer {self.token}"
        return self

    def begin(self) -> subprocess.Popen[bytes]:
        """Start the server and do not wait for anything."""
        self._take_over_template()
        words = ("serve", *self.follows, "--branch", "main", "--data", str(self.data))
        ports = ("--port", str(self.port), "--control-port", str(self.control_port))
        with self.output.open("ab") as output:
            self.server = subprocess.Popen(
                [*COMMAND, *words, *ports, *self.flags], env=environ(**self.variables), stdout=output, stderr=output
            )
        return self.server

    @property
    def follows(self) -> tuple[str, ...]:
        return ("--receive",) if self.receives else (self.source or str(self.repository.path),)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, within: float = 40) -> int:
        assert self.server is not None
        self.server.send_signal(number)
        return self.server.wait(within)

    def is_ready(self) -> bool:
        assert self.server is not None and self.server.poll() is None, f"the server ended:\n{self.said()}"
        try:
            return self.control.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def said(self) -> str:
        return self.output.read_text(errors="replace")[-20_000:] if self.output.exists() else ""

    @property
    def token(self) -> str:
        return (self.data / "admin-token").read_text().strip()

    # Its repository

    def commit(self, files: Files) -> str:
        return self.repository.commit(files)

    def sync(self, *, within: float = 60) -> Told:
        """Ask for a sync, and wait until it came to its end."""
        asked = self.control.post("/v1/sync")
        assert asked.status_code == 202, asked.text
        identity = asked.json()["id"]
        return until_sync(lambda: self._finished(identity), within=within, what=f"sync {identity}")

    def deploy(self, files: Files, *, within: float = 60) -> Told:
        self.commit(files)
        return self.sync(within=within)

    def _finished(self, identity: str) -> Told:
        answer = self.control.get(f"/v1/syncs/{identity}")
        assert answer.status_code == 200, answer.text
        told: Told = answer.json()
        return told if told["state"] in {"done", "failed", "superseded"} else {}

    # What it says

    def status(self) -> Told:
        told: Told = self.control.get("/v1/status").raise_for_status().json()
        return told

    def service(self, name: str) -> Told:
        told: Told = self.control.get(f"/v1/services/{name}").raise_for_status().json()
        check_invariants(told)
        return told

    def condition(self, name: str, kind: str = "Ready") -> Told:
        """One condition, or nothing where it is absent."""
        found: Told = next((each for each in self.service(name)["conditions"] if each["type"] == kind), {})
        return found

    def version(self, name: str, mount: str = "/api") -> str | int:
        """Which version answers; the status code where none does."""
        answer = self.services.get(f"{mount}/{name}/version")
        return str(answer.json()["version"]) if answer.status_code == 200 else answer.status_code

    # Its processes

    def family(self) -> list[Process]:
        assert self.server is not None
        return descendants(self.server.pid)

    def forked(self) -> set[int]:
        """The pids of all workers, known to anybody or not: whoever runs the zygote's command and is neither it nor of
        those that only help it."""
        helpers = ("python", "stem", "spare")
        return {one.pid for one in self._all_of("zygote") if not one.name.startswith(helpers)}

    def process(self, role: str) -> Process:
        """The gateway, the control, or a zygote; waited for while it is being started again."""
        found = until_sync(lambda: self._all_of(role), within=20, what=f"a {role}")
        return found[0]

    def _all_of(self, role: str) -> list[Process]:
        return [process for process in self.family() if ROLES[role] in process.command]

    def kill(self, role: str, number: signal.Signals = signal.SIGKILL) -> Process:
        """Send it a signal, and wait until another one took its place."""
        victim = self.process(role)
        victim.kill(number)
        until_sync(lambda: not is_alive(victim.pid), what=f"the end of {role}")
        until_sync(lambda: self._is_back(role, victim), within=20, what=f"another {role}")
        return victim

    def _is_back(self, role: str, victim: Process) -> bool:
        return any(process.pid != victim.pid for process in self._all_of(role))

    def worker(self, name: str) -> int:
        """The pid of the one process that runs a service."""
        # One that is lost leaves before the next is there.
        (worker,) = until_sync(lambda: self.service(name)["workers"], what=f"a worker of {name}")
        return int(worker["pid"])

    def _take_over_template(self) -> None:
        if self.template is None or self.data.exists():
            return
        self.data.mkdir(mode=0o700)
        take_over(self.template, self.data)
        if (self.template / UNWRITTEN).exists():
            shutil.copy2(self.template / UNWRITTEN, self.data / "journal.db")


def take_over(template: Path, data: Path) -> None:
    """By links to it: that costs next to nothing."""
    for name in SHARED:
        if (template / name).exists():
            shutil.copytree(template / name, data / name, copy_function=os.link, symlinks=True)


def check_invariants(service: Told) -> None:
    """What must be true of every status at every moment."""
    stated: Mapping[str, Told] = {condition["type"]: condition for condition in service["conditions"]}
    assert "Ready" in stated, stated
    assert not (stated["Ready"]["status"] == "True" and "Stalled" in stated), stated
    for condition in stated.values():
        assert condition["message"] and condition["reason"], condition


def eventually(look: Any, *, within: float = 30, what: str = "the condition") -> Any:
    """Until an answer is true; a server that is being restarted is asked again."""

    def ask() -> Any:
        try:
            return look()
        except (httpx.TransportError, httpx.HTTPStatusError):
            return None

    return until_sync(ask, within=within, what=what)
