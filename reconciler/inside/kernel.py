"""The calls that only Linux has, each with a plain answer where it is missing.

Refuses to decide anything: `worker.py` says what is wanted, this says how the kernel is told.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
MADV_DONTNEED = 4
HEADROOM = 512 * 1024 * 1024
LARGE = 64 * 1024
PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _prctl(option: int, value: int | bytes) -> None:
    if _libc is not None:
        _libc.prctl(option, value if isinstance(value, bytes) else ctypes.c_ulong(value), 0, 0, 0)


def seal() -> None:
    """Nobody of the same user may read this process's memory; it can gain no rights and leaves no core."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_SET_DUMPABLE, 0)
    _limit(resource.RLIMIT_CORE, 0)


def rename(title: str) -> None:
    """What `ps` and `top` call this process; the kernel keeps fifteen bytes."""
    _prctl(PR_SET_NAME, title.encode()[-15:])


def die_with(parent: int) -> None:
    """End when the parent ends, also as another program. It may have ended already."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def limit(*, files: int | None, memory: int | None) -> None:
    """Processes are not among them: the kernel would count those of the whole user, so of other services too."""
    if files:
        limit_files(files)
    if memory:
        limit_memory(memory)


def limit_memory(size: int) -> None:
    """Only what is far beyond is refused at once, as a MemoryError; the zygote sees to the limit itself."""
    # Private writable memory. RLIMIT_AS would count the address space that allocators and libraries only reserve; this
    # one counts the stacks of threads, which reserve eight megabytes each and use little.
    _limit(resource.RLIMIT_DATA, size + HEADROOM)


def limit_files(count: int) -> None:
    _limit(resource.RLIMIT_NOFILE, count)


def _limit(what: int, value: int) -> None:
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(what, (value, value))


def give_back_zeros(address: int, size: int) -> None:
    """Pages of a new object that hold nothing but zeros: the kernel makes them again when they are needed.

    uvloop keeps a quarter of a megabyte inside its loop to read into, and Python clears it when it makes the loop.
    """
    if _libc is None or size < LARGE:
        return
    page = resource.getpagesize()
    empty = bytes(page)
    first = -(-address // page) * page
    for at in range(first, (address + size) // page * page - page + 1, page):
        if ctypes.string_at(at, page) == empty:
            _libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(page), MADV_DONTNEED)


def start_time(pid: int) -> str:
    """Field 22 of /proc/PID/stat: with the pid it names a process for ever. Empty where there is no /proc."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return ""
    try:
        line = os.read(fd, 4096)
    except OSError:
        return ""
    finally:
        os.close(fd)
    # The second field, the program's name, may itself hold blanks and brackets.
    return line[line.rindex(b")") + 2 :].split(b" ", 20)[19].decode()


def thread_count() -> int:
    """Every thread of this process, also those that Python did not start."""
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    except OSError:
        return 1
