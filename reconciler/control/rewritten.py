"""Saying that the branch no longer holds what was followed.

It is followed all the same: what serves was copied out of git, and can be gone back to. But whoever wonders later why
a commit is gone finds the two ends here. Refuses to judge whether it was meant.
"""

import logging

from reconciler.control.feed import Feed
from reconciler.model.names import ObjectId
from reconciler.model.notice import Kind

log = logging.getLogger(__name__)


def say_rewritten(feed: Feed, branch: str, old: ObjectId, new: ObjectId) -> None:
    message = f"{branch} was rewritten: {old[:8]} -> {new[:8]}"
    log.warning(message)
    feed.happened(Kind.HISTORY_REWRITTEN, message)
