"""What the README shows is typed in, as it stands there, and works."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import Block, blocks
from tests.end_to_end import samples
from tests.end_to_end.platform import COMMAND, Platform, environ
from tests.end_to_end.repository import AUTHOR

RUNNABLE = [block for block in blocks("sh") if block.run is not None]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("readme"), template) as made:
        made.commit(samples.gallery())
        yield made.start(ready_within=180)


@pytest.mark.parametrize("block", RUNNABLE, ids=str)
def test_what_the_readme_shows_works(clone: Platform, block: Block) -> None:
    typed = block.text.replace(":8000/", f":{clone.port}/").replace(".venv/bin/reconciler", shlex.join(COMMAND))
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail"],
        input=typed.replace("curl ", "curl --silent --show-error --fail "),
        cwd=clone.repository.path,
        env=environ(**{**AUTHOR, "PATH": os.environ["PATH"]}, RECONCILER_DATA=str(clone.data)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    assert done.stdout.strip()


def test_the_first_service_tells_the_time(clone: Platform) -> None:
    assert "now" in clone.services.get("/api/clock/").json()
