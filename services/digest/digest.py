"""What was seen, and the summaries made of it. In memory: a real one would keep them in a database."""

from collections import Counter

seen: list[str] = []
summaries: list[dict[str, int]] = []


def summarise() -> dict[str, int]:
    summary = dict(Counter(seen))
    summaries.append(summary)
    seen.clear()
    return summary


def forget(keep: int) -> int:
    """Keep the newest summaries; how many went."""
    gone = summaries[:-keep] if keep else summaries[:]
    del summaries[: len(gone)]
    return len(gone)
