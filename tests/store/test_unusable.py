"""A database that cannot be used is refused in one line, which tells the remedy and never the password."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.store.postgres import Postgres as Database
from tests.postgres import PASSWORD, Postgres
from tests.store.databases import everything_in, name_of, refused, run
from tests.store.journals import make_live


def _newer(postgres: Postgres, url: str) -> str:
    postgres.ask("UPDATE reconciler.alembic_version SET version_num = '9999'", name_of(url))
    return url


def _read_only(postgres: Postgres, url: str) -> str:
    postgres.ask(f"ALTER DATABASE {name_of(url)} SET default_transaction_read_only = on")
    return url


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        pytest.param(_newer, "which this program does not know", id="of a newer version"),
        pytest.param(_read_only, "read-only", id="read-only"),
        pytest.param(lambda pg, url: pg.url("absent"), "no such database", id="not there"),
        pytest.param(lambda pg, url: url.replace(PASSWORD, "wrong"), "the user or its password", id="wrong password"),
        pytest.param(
            lambda pg, url: f"{url}?pgbouncer=true", "an option that is not", id="an option of another driver"
        ),
        pytest.param(lambda pg, url: f"postgresql://u:{PASSWORD}@127.0.0.1:1/x", "cannot be reached", id="away"),
        pytest.param(lambda pg, url: f"mysql://u:{PASSWORD}@h/x", "not one of PostgreSQL", id="another database"),
        pytest.param(lambda pg, url: f"{PASSWORD} !", "not one of PostgreSQL", id="no URL at all"),
        pytest.param(lambda pg, url: f"postgresql://u:{PASSWORD}@h:port/x", "not one of PostgreSQL", id="a wrong port"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, url: str, postgres: Postgres, harm: Callable[[Postgres, str], str], says: str
) -> None:
    assert says.lower() in refused(tmp_path, harm(postgres, url)).lower()


def test_a_user_who_may_not_make_the_schema_is_told_how(tmp_path: Path, postgres: Postgres) -> None:
    name = postgres.create()
    postgres.ask(f"CREATE ROLE poor_{name} LOGIN PASSWORD '{PASSWORD}'")
    url = postgres.url(name, user=f"poor_{name}")
    assert "CREATE SCHEMA reconciler AUTHORIZATION" in refused(tmp_path, url)
    postgres.ask(f"CREATE SCHEMA reconciler AUTHORIZATION poor_{name}", name)
    run(tmp_path, url, make_live)
    assert len(everything_in(url)["releases"]) == 1


def test_the_password_is_in_no_repr_and_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    refused(tmp_path, f"postgresql://somebody:{PASSWORD}@127.0.0.1:1/x")
    assert PASSWORD not in caplog.text
    assert PASSWORD not in Database(f"postgresql://somebody:{PASSWORD}@h/x").place
