"""One fork server for all tests: a worker of it costs milliseconds."""

from collections.abc import Iterator

import pytest

from tests.inside.stage import Zygote


@pytest.fixture(scope="session")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path_factory.mktemp("zygote"))
    yield zygote
    zygote.close()


@pytest.fixture
def zygote(fork_server: Zygote) -> Iterator[Zygote]:
    yield fork_server
    fork_server.tidy()
