"""A Supabase project for each test that asks for one."""

from collections.abc import Iterator

import pytest

from tests.postgres import Postgres
from tests.supabase.stack import Supabase


@pytest.fixture
def supabase(postgres: Postgres) -> Iterator[Supabase]:
    with Supabase(postgres) as project:
        yield project
