"""How the whole suite is run; what single tests need stands beside them."""

import gc
import logging
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.template import template_in
from tests.postgres import Postgres

# Images often set it. Hundreds of processes are started here, and each would compile all that it imports.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    sys.dont_write_bytecode = False


def pytest_xdist_auto_num_workers() -> int:
    """Most tests wait for processes and sockets: three of them share a core well."""
    return 3 * (os.cpu_count() or 1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays: looking through it for what may go takes a third of the time, in each process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


SLOW_FIRST = ("tests/end_to_end", "tests/supabase", "tests/check", "tests/dashboard", "tests/suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no process is left with one at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(SLOW_FIRST))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the plain environment is built already."""
    base = tmp_path_factory.getbasetemp()
    return template_in((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "template")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for as long as the tests run; each takes a database of its own."""
    with Postgres() as server:
        yield server


@pytest.fixture(autouse=True)
def _told_of_what_it_left_open() -> Iterator[None]:
    """And not the test at which the collector happens to come by."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    """Servers and workers that a test runs in this process set up logging for all of it; the next test knows nothing
    of that."""
    named = logging.root.manager.loggerDict
    found = {logger: _state(logger) for logger in (logging.root, *named.values()) if isinstance(logger, logging.Logger)}
    silenced = logging.root.manager.disable
    yield
    logging.root.manager.disable = silenced
    for logger in (logging.root, *named.values()):
        if isinstance(logger, logging.Logger):
            state = found.get(logger, NEW)
            if _state(logger) != state:
                level, logger.propagate, logger.disabled, handlers = state
                logger.setLevel(level)
                logger.handlers[:] = handlers


State = tuple[int, bool, bool, tuple[logging.Handler, ...]]
NEW: State = (logging.NOTSET, True, False, ())


def _state(logger: logging.Logger) -> State:
    return logger.level, logger.propagate, logger.disabled, tuple(logger.handlers)
