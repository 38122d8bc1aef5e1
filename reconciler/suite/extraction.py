"""The part of a text that a pattern captures, found in another process.

The linear engine says whether a pattern matches, not where. Python's own engine does, and may need forever for it; so
it runs in a process of its own, with a deadline, and only for suites that capture by pattern.
"""

import asyncio
import json
import sys
from typing import Final

from reconciler.model.suite.matcher import MISSING, Missing
from reconciler.model.suite.pattern import pattern

SECONDS: Final = 2.0
PROGRAM: Final = """
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
wanted = json.load(sys.stdin)
found = re.search(wanted["pattern"], wanted["text"])
json.dump(None if found is None else found.group(1), sys.stdout)
"""


class TooSlow(Exception):
    """The pattern needs more time on this text than anybody should wait."""


async def extract(expression: str, text: str, seconds: float = SECONDS) -> str | Missing:
    """The first group of the pattern, or nothing."""
    if not pattern(expression).found_in(text):
        return MISSING
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", PROGRAM,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env={},
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate(json.dumps({"pattern": expression, "text": text}).encode())
    except TimeoutError:
        raise TooSlow(f"the pattern `{expression}` takes longer than {seconds:g} s on this body") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise TooSlow(f"the pattern `{expression}` could not be applied to this body in time")
    found = json.loads(output)
    return found if isinstance(found, str) else MISSING
