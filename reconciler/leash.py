"""Programs that must not outlive us: if we are killed, the kernel kills them too, where it can be asked to.

Whoever starts one waits for it in the thread that started it: to the kernel the end of that thread is the end of us.
"""

import shutil
import subprocess
from functools import cache


def leash(path: str | None = None) -> tuple[str, ...]:
    """What stands before the command. `preexec_fn` could ask for the same, but forks a process that has threads."""
    found = shutil.which("setpriv", path=path)
    return _tried(found) if found else ()


@cache
def _tried(setpriv: str) -> tuple[str, ...]:
    """Not every program of that name can do it, and not every machine lets it."""
    words = (setpriv, "--pdeathsig", "KILL", "--")
    tried = subprocess.run([*words, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return words if tried.returncode == 0 else ()
