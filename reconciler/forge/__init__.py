"""Telling the forge: commit statuses, check runs, deployments, and one comment per pull request.

A forge that is slow, down or of another opinion never delays a sync: what should be said waits here, newest first to
take the place of what is outdated, and is said when it can be.
"""

from reconciler.forge.forge import Repository, connect, locate
from reconciler.forge.github import App
from reconciler.forge.links import Links
from reconciler.forge.outbox import Outbox

__all__ = ["App", "Links", "Outbox", "Repository", "connect", "locate"]
