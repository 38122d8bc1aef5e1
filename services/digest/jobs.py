"""What cron calls in a worker, at the times that the manifest says."""

import digest


def prune(keep: int = 100) -> int:
    gone = digest.forget(keep)
    print(f"{gone} summaries are gone")
    return gone
