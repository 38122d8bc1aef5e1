"""What became different between two looks, each as one line and as one object."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reconciler.cli.seen import Seen
from reconciler.cli.standing import Service, in_trouble, key, mark, source_is_good, worst
from reconciler.cli.terminal import safe, short

Facts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    line: str
    told: dict[str, Any]


def changes(before: Seen | None, now: Seen) -> Iterator[Change]:
    """At first everything is new."""
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if now.platform is not None:
        facts = _of_platform(now.platform)
        if before is None or before.platform is None or _of_platform(before.platform) != facts:
            yield Change("  ".join((at, *facts)), {"platform": now.platform})
    known = {service["name"]: service for service in before.services} if before else {}
    for service in now.services:
        facts = _of_service(service)
        was = known.pop(service["name"], None)
        if was is None or _of_service(was) != facts:
            yield Change("  ".join((at, *filter(None, facts))), {"service": service})
    for name in known:
        yield Change(f"{at}  -  {safe(name)}  gone", {"gone": name})


def _of_platform(platform: dict[str, Any]) -> Facts:
    """Without counts and times: those of services say more."""
    condition = platform["source"]["condition"]
    attempted, applied = short(platform["revision_attempted"]), short(platform["revision_applied"])
    sign = "✓" if source_is_good(platform) else "✗"
    words = "applied" if attempted == applied else f"applied, {attempted} attempted"
    trouble = () if source_is_good(platform) else (f"{safe(condition['reason'])}: {safe(condition['message'])}",)
    waiting = (f"{safe(each['name'])}: {safe(each['trouble'])}" for each in in_trouble(platform))
    return sign, applied, words, *trouble, *waiting


def _of_service(service: Service) -> Facts:
    condition = worst(service["conditions"])
    return (
        mark(condition)[0],
        safe(service["name"]),
        " ".join(key(each) for each in service["conditions"]) or "Unknown",
        safe(condition["reason"]) if condition else "-",
        safe((service["live"] or {}).get("id") or "-"),
        short(service["revision_changed"]),
        safe(condition["message"]) if condition and key(condition) != "Ready" else "",
    )
