"""Lay out the memory that workers are going to share, so that they copy as little of it as possible.

A page is copied by whoever first writes to it, and Python writes wherever it looks: a call counts a reference in the
function's code object, and the interpreter keeps notes of its own in there. The code that every worker calls lies
scattered among ten times as much that none ever calls, so it is given a new place, side by side. Where code lies
changes, not what it does.
"""

import gc
import sys
from collections import defaultdict
from collections.abc import Iterator, Set
from types import CodeType, FunctionType

POOL = 16 * 1024
LARGEST_SMALL = 512
HOLES = 4_000

FILLING: list[bytes] = []
MOVED: list[CodeType] = []
"""Where it was. Freed, that memory would be given out again, in pages that are shared."""


def freeze() -> None:
    """Leave nothing for the collector to visit, and no holes to write into."""
    close_up()
    gc.freeze()
    gc.disable()


def close_up() -> None:
    """Whatever comes next lies side by side, among nothing else."""
    gc.collect()
    FILLING.extend(_fill_holes())


def _fill_holes() -> Iterator[bytes]:
    """Small objects until the allocator begins an empty pool, for each of its sizes.

    Otherwise a worker's own objects would be scattered over pages that are half full and shared until then: a megabyte.
    """
    header = sys.getsizeof(b"")
    for size in range(48, LARGEST_SMALL + 1, 16):
        neighbours, last = 0, 0
        for _ in range(HOLES):
            filling = bytes(size - header)
            neighbours = neighbours + 1 if id(filling) == last + size else 0
            last = id(filling)
            yield filling
            if neighbours >= POOL // size - 2:
                break


def gather(called: Set[int]) -> None:
    """Move the code objects that have these ids, in the order of their files."""
    users: dict[int, list[FunctionType]] = defaultdict(list)
    for function in gc.get_objects():
        if type(function) is FunctionType:
            users[id(function.__code__)].append(function)
    found = [functions[0].__code__ for code, functions in users.items() if code in called]
    for code in sorted(found, key=lambda code: (code.co_filename, code.co_firstlineno)):
        moved = _moved(code, called)
        for function in users[id(code)]:
            function.__code__ = moved


def _moved(code: CodeType, called: Set[int]) -> CodeType:
    MOVED.append(code)
    constants = (
        _moved(one, called) if isinstance(one, CodeType) and id(one) in called else one for one in code.co_consts
    )
    return code.replace(co_consts=tuple(constants))
