"""Counts that a platform tells: syncs, receipts of webhooks, memory."""

import os
from pathlib import Path

from tests.end_to_end.platform import Platform, Told


def syncs(platform: Platform) -> int:
    return int(platform.control.get("/v1/syncs?limit=1").json()["total"])


def listed(platform: Platform, count: int) -> list[Told]:
    """The newest receipts, page after page."""
    told: list[Told] = []
    after = ""
    while len(told) < count:
        page = platform.control.get(f"/v1/webhooks?limit=500{after}").raise_for_status().json()
        told += page["items"]
        after = f"&after={page['next']}"
    return told[:count]


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
