"""Numbers of workers, which with their release make their names.

A release has two crews for as long as it is restarted, and each may have to replace a worker. Both count on from the
same: a name that two workers had would take the end of the one for the end of the other.
"""


class Numbers:
    def __init__(self, used: int = 0) -> None:
        """`used` is the last number that a worker of this release ever had."""
        self._last = used

    def take(self) -> int:
        self._last += 1
        return self._last
