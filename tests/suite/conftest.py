from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reconciler.model.names import ReleaseId, ServiceName
from reconciler.suite.target import Target
from tests.suite.serving import serve
from tests.suite.tasks_service import PREFIX, tasks_app


@pytest.fixture(scope="session")
def tasks() -> Iterator[Target]:
    """The tasks service, served for real; the folder is short, as the path of a socket has to be."""
    with TemporaryDirectory(prefix="rcl-") as folder, serve(tasks_app(), Path(folder) / "h.sock") as socket:
        yield Target(socket, PREFIX, ServiceName("tasks"), ReleaseId("tasks-7"))
