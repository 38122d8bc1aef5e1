import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from reconciler.environment import Environments
from reconciler.model.requirement import Requirements, from_list
from tests.environment.wheels import PackageIndex, serving, wheel

Make: TypeAlias = Callable[..., Environments]
BASE = from_list(["worker>=1"])
"""What every environment holds, in these tests: one tiny wheel."""


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder of wheels: alpha in two versions, one package that wants the old and one that wants the new."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder, "worker")
    wheel(folder, "alpha", "1.0")
    wheel(folder, "alpha", "2.0")
    wheel(folder, "beta", "1.0", ["alpha<2"])
    wheel(folder, "gamma", "1.0", ["alpha>=2"])
    return folder


@pytest.fixture
def index(wheels: Path) -> Iterator[PackageIndex]:
    """The same wheels behind a server."""
    with serving(wheels) as index:
        yield index


@pytest.fixture(scope="session")
def acquainted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of uv that knows our Python and nothing else: asking it costs more than most of these tests."""
    folder = tmp_path_factory.mktemp("acquainted")

    async def ask() -> None:
        environments = Environments(folder, indexes=(str(folder),), base=Requirements())
        await environments.open()
        await environments.lock(Requirements())

    asyncio.run(ask())
    return folder / "cache"


@pytest.fixture
def make(tmp_path: Path, wheels: Path, acquainted: Path) -> Make:
    def made(data: Path | None = None, **options: Any) -> Environments:
        data = data or tmp_path / "data"
        if not (data / "cache").exists():
            shutil.copytree(acquainted, data / "cache")
        options = {"indexes": (str(wheels),), "base": BASE, "retries": 0, **options}
        return Environments(data, **options)

    return made
