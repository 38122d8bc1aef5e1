"""A worker's process: what all have in common before the fork, how one becomes the service's own, and its end."""

import asyncio
import atexit
import contextlib
import faulthandler
import gc
import logging
import os
import sys
import threading
from pathlib import Path
from typing import NoReturn

from . import kernel
from .output import Output, OutputFile, Speaker
from .redaction import Redactor
from .spec import Spec
from .streams import Lines, Records
from .worker import FAREWELL_SECONDS, Inheritance, Worker

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""What a service may see of the zygote's environment; everything else of its own comes with the spec."""

PRELOADED: set[str] = set()
"""What the zygote imported only because services of this environment need it."""

RECORDS = Records()


def prepare() -> None:
    """What all workers have in common, done once before any is forked."""
    for name in [name for name in os.environ if name not in INHERITED]:
        del os.environ[name]
    root = logging.getLogger()
    root.handlers[:] = [RECORDS]
    root.setLevel(logging.INFO)
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False


def run(spec: Spec, inheritance: Inheritance) -> NoReturn:
    """The whole life of the process after the fork."""
    # Not a copy of their names: touching all of them would cost a megabyte of memory that is shared until then.
    known = next(reversed(sys.modules))
    os.setsid()
    kernel.rename(spec.worker)
    kernel.seal()
    output = _take_over_output(spec, inheritance)
    for fd in (inheritance.listener.fileno(), inheritance.lifeline):
        os.set_inheritable(fd, False)
    _settle_in(spec)
    gc.enable()
    loop = new_event_loop()
    kernel.give_back_zeros(id(loop), loop.__sizeof__())
    asyncio.set_event_loop(loop)
    status = loop.run_until_complete(Worker(spec, inheritance, output, known, loop).live())
    _leave(output, status)


def _take_over_output(spec: Spec, inheritance: Inheritance) -> Output:
    os.dup2(inheritance.stdout, 1)
    os.dup2(inheritance.stderr, 2)
    os.close(inheritance.stdout)
    os.close(inheritance.stderr)
    file, speaker = OutputFile(spec.output, spec.output_limit), Speaker(spec.service, spec.release, spec.worker)
    output = Output(file, speaker, Redactor(spec.secrets.items()))
    sys.stdout = sys.__stdout__ = Lines(output, "stdout", 1)  # type: ignore[assignment, misc]
    sys.stderr = sys.__stderr__ = Lines(output, "stderr", 2)  # type: ignore[assignment, misc]
    RECORDS.output = output
    faulthandler.enable(file=2)
    return output


def _settle_in(spec: Spec) -> None:
    """Environment, folder, import path and limits of the service. Secrets exist in this process from here on."""
    os.environ.update(spec.environ)
    os.environ.update(spec.secrets)
    os.chdir(spec.code)
    sys.path[:0] = [spec.code, *spec.path]
    _forget_namesakes(spec)
    sys.argv[:] = [spec.entry.partition(":")[0]]
    kernel.limit(files=spec.limits.files, memory=spec.limits.memory)


def _forget_namesakes(spec: Spec) -> None:
    """What a service calls its own must not turn out to be a library that the zygote has learnt."""
    for name in PRELOADED:
        if any((Path(folder) / file).exists() for folder in (spec.code, *spec.path) for file in (name, f"{name}.py")):
            for loaded in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
                del sys.modules[loaded]


def _leave(output: Output, status: int) -> NoReturn:
    """Run what the service registered for its exit, but not for ever."""
    deadline = threading.Timer(FAREWELL_SECONDS, os._exit, (status,))
    deadline.daemon = True
    deadline.start()
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Lines):
            stream.finish()
    output.settle(final=True)
    os._exit(status)
