"""What every environment really holds, from the real index: the one test here that needs a network."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from reconciler.environment import Environment, Environments
from reconciler.model.failure import Wait
from reconciler.model.requirement import Requirements

OFF = os.environ.get("RECONCILER_TESTS_OFFLINE") == "1"


@pytest.mark.skipif(OFF, reason="RECONCILER_TESTS_OFFLINE=1")
def test_the_base_environment_has_what_a_worker_imports(tmp_path: Path) -> None:
    async def built() -> Environment:
        environments = Environments(tmp_path, retries=0)
        await environments.open()
        lock = await environments.lock(Requirements())
        assert {"fastapi", "uvicorn", "httptools", "websockets"} <= lock.packages.keys()
        return await environments.build(lock)

    try:
        environment = asyncio.run(built())
    except Wait as failed:
        pytest.skip(f"no package index: {failed.message}")
    code = "import fastapi, httptools, uvicorn, websockets"
    subprocess.run([environment.python, "-I", "-c", code], check=True, timeout=60)
