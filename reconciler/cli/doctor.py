"""`reconciler doctor`: what this machine can and cannot do."""

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from reconciler.cli.server import DATA, DataOption
from reconciler.cli.table import Cell, say_table
from reconciler.cli.terminal import safe
from reconciler.source.program import OLDEST as OLDEST_GIT

Verdict = Literal["good", "weak", "bad"]
MARKS = {"good": ("✓", "green"), "weak": ("!", "yellow"), "bad": ("✗", "red")}

OLDEST_PYTHON = (3, 11)
OLDEST_UV = (0, 12, 11)
SAFE_SQLITE = (3, 51, 3)
ENOUGH_FILES = 65_536
ENOUGH_SPACE = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    verdict: Verdict
    is_so: str
    remedy: str = ""


def add_to(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    port: Annotated[int, typer.Option(envvar="RECONCILER_PORT", help="Where services would answer.")] = 8000,
    control_port: Annotated[
        int, typer.Option(envvar="RECONCILER_CONTROL_PORT", help="Where the control plane would answer.")
    ] = 8001,
    host: Annotated[str, typer.Option(envvar="RECONCILER_HOST", help="The address to listen at.")] = "127.0.0.1",
    data: DataOption = DATA,
) -> None:
    """Say what this machine can and cannot do. Exit code 1 when something is missing."""
    findings = [
        *_programs(),
        *_kernel(),
        *_limits(data),
        _port(host, port, "--port", data),
        _port(host, control_port, "--control-port", data),
    ]
    say_table([_row(finding) for finding in findings])
    raise typer.Exit(1 if any(finding.verdict == "bad" for finding in findings) else 0)


def _row(finding: Finding) -> tuple[Cell, ...]:
    mark, colour = MARKS[finding.verdict]
    told = finding.is_so + (f": {finding.remedy}" if finding.remedy else "")
    return Cell(mark, colour), Cell(finding.what, "bold"), Cell(safe(told))


def _programs() -> Iterator[Finding]:
    import sqlite3

    version = platform.python_version()
    if sys.version_info >= OLDEST_PYTHON:
        yield Finding("python", "good", version)
    else:
        yield Finding("python", "bad", version, "3.11 or newer is needed")
    yield _program("git", shutil.which("git"), OLDEST_GIT)
    yield _program("uv", _uv(), OLDEST_UV)
    if sqlite3.sqlite_version_info >= SAFE_SQLITE:
        yield Finding("sqlite", "good", sqlite3.sqlite_version)
    else:
        yield Finding(
            "sqlite",
            "weak",
            sqlite3.sqlite_version,
            "before 3.51.3 two writers can damage a journal; the server writes with one, so leave its file to it",
        )


def _uv() -> str | None:
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        return shutil.which("uv")


def _program(name: str, path: str | None, oldest: tuple[int, ...]) -> Finding:
    wanted = ".".join(map(str, oldest))
    if path is None:
        return Finding(name, "bad", "not found", f"install {wanted} or newer")
    try:
        said = subprocess.run([path, "--version"], check=False, capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, "bad", f"{path} does not run", str(error))
    found = re.search(r"\d+(?:\.\d+)+", said)
    version = found[0] if found else "unknown"
    if found is None or tuple(map(int, version.split("."))) < oldest:
        return Finding(name, "weak", version, f"{wanted} or newer was tried")
    return Finding(name, "good", version)


def _kernel() -> Iterator[Finding]:
    if sys.platform != "linux":
        yield Finding(
            "system", "weak", platform.platform(), "fine for development; services are isolated on Linux only"
        )
        return
    yield Finding("system", "good", f"Linux {platform.release()}, {platform.machine()}")
    yield _seqpacket()
    yield _workers()
    yield _between_services()
    yield _watch()
    yield _user()


def _seqpacket() -> Finding:
    try:
        for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET):
            end.close()
    except OSError as error:
        return Finding("hand-over", "weak", f"no SOCK_SEQPACKET ({error.strerror})", "connections go over datagrams")
    return Finding("hand-over", "good", "SOCK_SEQPACKET")


def _workers() -> Finding:
    """Asked of this process: what the kernel shows here, it lets workers set."""
    told = Path("/proc/self/status").read_text() if Path("/proc/self/status").exists() else ""
    if "NoNewPrivs:" in told:
        return Finding("workers", "good", "own session, no new privileges, memory closed to others, no core files")
    return Finding("workers", "weak", "the kernel does not tell", "mount /proc, so that it can be checked")


def _between_services() -> Finding:
    """So on every machine: what the kernel could do beyond it is not used."""
    return Finding(
        "isolation",
        "weak",
        "services and their tests run as the server's user, and can read each other's files, the admin token and the "
        "key of the secrets",
        "serve and test only code of people who trust each other",
    )


def _user() -> Finding:
    if os.geteuid() != 0:
        return Finding("user", "good", "not root")
    return Finding("user", "weak", "root, and so is every service", "start the server as a user of its own")


def _watch() -> Finding:
    pid = os.getpid()
    status, children = Path("/proc/self/status"), Path(f"/proc/{pid}/task/{pid}/children")
    if status.exists() and "RssAnon:" in status.read_text() and children.exists():
        return Finding("limits", "good", "memory and processes of services are counted, child processes included")
    if status.exists():
        return Finding("limits", "weak", "child processes are not seen", "only a service's own process is counted")
    return Finding("limits", "weak", "no /proc", "nobody counts what a service uses; only limits.files is in force")


def _limits(data: Path) -> Iterator[Finding]:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    enough = hard >= ENOUGH_FILES or hard == resource.RLIM_INFINITY
    told = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    yield Finding(
        "open files", "good" if enough else "weak", told, "" if enough else "raise the hard limit for many clients"
    )
    place = next(folder for folder in (data.resolve(), *data.resolve().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    yield Finding(
        "disk",
        "good" if free >= ENOUGH_SPACE else "weak",
        f"{free / (1 << 30):.1f} GiB free at {place}",
        "" if free >= ENOUGH_SPACE else "environments take from 20 MB to gigabytes each",
    )
    if not os.access(place, os.W_OK):
        yield Finding("data folder", "bad", f"{place} is not writable", "choose another with --data")


def _port(host: str, port: int, flag: str, data: Path) -> Finding:
    from reconciler.data_folder import read_address
    from reconciler.listener import listen
    from reconciler.misconfigured import Misconfigured

    try:
        listen(host, port, flag).close()
    except Misconfigured as error:
        address = read_address(data)
        if address and str(port) in (url.rpartition(":")[2] for url in (address.control, address.services)):
            return Finding("port", "good", f"{port} is this data folder's own server, pid {address.pid}")
        return Finding("port", "bad", str(error))
    return Finding("port", "good", f"{port} is free")
