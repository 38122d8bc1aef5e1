"""Pytest files of a service, in a process that is closed as a worker is and has its limits.

They come from the same commit as the service and run before it has proved anything. Refuses to be kinder to them.
"""

import runpy
import sys

from . import kernel


def main(arguments: list[str]) -> None:
    """The limits, where 0 is none, then what pytest is to do."""
    files, memory, *words = arguments
    kernel.seal()
    kernel.limit(files=int(files) or None, memory=int(memory) or None)
    sys.argv = ["pytest", *words]
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)
