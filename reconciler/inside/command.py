"""A further command of a release: a fork that becomes another program.

It gets what a worker gets, the environment's programs first on its path, the same settings, secrets, limits and
folder, and a session of its own, so that it can be ended with all that it starts. From then on it is not ours:
whatever stands in its environment can be read in /proc by the same user.
"""

import contextlib
import os
import signal
from typing import NoReturn

from . import kernel
from .spec import Spec

NOT_FOUND = 127
OTHERS = 4096
"""Descriptors up to this one are not the new program's."""


def run(spec: Spec, stdout: int, stderr: int) -> NoReturn:
    parent = os.getppid()
    os.setsid()
    kernel.die_with(parent)
    kernel.seal()
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.closerange(3, OTHERS)
    # Python ignores it, and what is ignored stays so in the new program.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    kernel.limit(files=spec.limits.files, memory=spec.limits.memory)
    os.chdir(spec.code)
    try:
        # Its PATH is where the program is looked for.
        os.environ.update({**spec.environ, **spec.secrets})
        os.execvp(spec.command[0], spec.command)  # noqa: S606
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(2, f"{spec.command[0]}: {error.strerror}\n".encode())
        os._exit(NOT_FOUND)
