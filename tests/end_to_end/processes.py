"""Who runs below whom, read from /proc."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

ROLES = {"gateway": "reconciler.gateway", "control": "reconciler.app", "zygote": "inside"}


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    state: str
    name: str
    """What `ps` calls it."""
    command: str

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.pid, number)


def all_processes() -> list[Process]:
    found = (_read(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [process for process in found if process is not None and process.state != "Z"]


def descendants(root: int) -> list[Process]:
    """Children, their children, and so on; those that outlived their parent hang below the root itself."""
    everybody = all_processes()
    family: list[Process] = []
    generation = {root}
    while generation:
        born = [process for process in everybody if process.parent in generation]
        family += born
        generation = {process.pid for process in born}
    return family


def is_alive(pid: int) -> bool:
    process = _read(pid)
    return process is not None and process.state != "Z"


def name_of(pid: int) -> str:
    """What `ps` calls it; nothing when it is gone."""
    process = _read(pid)
    return process.name if process is not None else ""


def _read(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    (_, _, rest), name = stat.rpartition(")"), stat[stat.index("(") + 1 : stat.rindex(")")]
    state, parent = rest.split()[:2]
    return Process(pid, int(parent), state, name, command.strip())
