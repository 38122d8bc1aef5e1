"""A real PgBouncer, from Debian's package, in front of a real PostgreSQL."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Literal, Self

import psycopg

from tests.downloads import kept
from tests.postgres import PASSWORD, Postgres, free_port
from tests.waiting import until_sync

LIBRARIES = ("libevent", "libc-ares")
"""What it needs and not every machine has."""


class PgBouncer:
    def __init__(self, postgres: Postgres, mode: Literal["session", "transaction"]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
        self.port = free_port()
        package = self.folder / "package"
        shutil.copytree(kept("pgbouncer", _fetch), package, symlinks=True)
        (self.folder / "users").write_text(f'"postgres" "{PASSWORD}"\n')
        (self.folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = plain\nauth_file = {self.folder}/users\npool_mode = {mode}\n"
        )
        who: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        libraries = {str(found.parent) for found in package.rglob("*.so*")}
        self._server = subprocess.Popen(
            [str(package / "usr/sbin/pgbouncer"), str(self.folder / "pgbouncer.ini")],
            env={"LD_LIBRARY_PATH": ":".join(libraries)},
            stderr=subprocess.DEVNULL,
            **who,
        )
        self._postgres = postgres

    def __enter__(self) -> Self:
        until_sync(self._answers, within=20, what="PgBouncer")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, name: str) -> str:
        return self._postgres.url(name, port=self.port)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


def _fetch(into: Path) -> None:
    depends = subprocess.run(
        ["apt-cache", "depends", "--no-recommends", "--no-suggests", "pgbouncer"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    words = depends.split()
    needed = ["pgbouncer", *(word for word in words if word.startswith(LIBRARIES))]
    with tempfile.TemporaryDirectory(dir=into) as packages:
        subprocess.run(["apt-get", "download", *needed], cwd=packages, check=True, capture_output=True, timeout=120)
        for package in Path(packages).glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", str(package), str(into)], check=True, timeout=60)
