"""Who runs on this machine, from /proc."""

from pathlib import Path


def processes() -> dict[int, tuple[str, int]]:
    """Name and parent of every process that is not a zombie."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = path.read_text().rpartition(")")
        except OSError:
            continue
        state, parent, *_ = tail.split()
        if state != "Z":
            found[int(path.parent.name)] = (head.partition("(")[2], int(parent))
    return found
