"""What a service wrote while it answered one request, for a report that shows a failing case."""

import json
from collections import deque
from pathlib import Path

from reconciler.inside.output import CURRENT

LINES = 20
SEARCHED = 512 * 1024
"""Bytes from the end of the file: a suite has just been played, so its lines are there."""


def lines_of_request(folder: Path, request: str) -> tuple[str, ...]:
    needle = json.dumps(request).encode()
    found: deque[str] = deque(maxlen=LINES)
    for line in _tail(folder / CURRENT).splitlines():
        if needle not in line:
            continue
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record.get("request") == request:
            found.append(str(record.get("message", "")))
    return tuple(found)


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - SEARCHED))
            return file.read()
    except OSError:
        return b""
