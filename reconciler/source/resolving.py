"""From what a person calls a commit to the commit."""

import re

from reconciler.model.names import ObjectId
from reconciler.source.program import Git

SHA = re.compile(r"[0-9a-f]{40}")


async def resolve(git: Git, ref: str, branch: str, tip: str, *, seconds: float) -> ObjectId | None:
    """A hash or the beginning of one, the branch or HEAD, each with `~1` and the like; nothing else is looked up."""
    name, rest = re.fullmatch(r"([^~^]*)(.*)", ref, re.DOTALL).groups()  # type: ignore[union-attr]
    if name in (branch, "HEAD"):
        name = tip
    elif not re.fullmatch(r"[0-9a-f]{4,40}", name):
        return None
    said = await git.run(
        "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}{rest}^{{commit}}", seconds=seconds
    )
    sha = said.out.decode("ascii", "replace").strip()
    return ObjectId(sha) if said.well and SHA.fullmatch(sha) else None
