"""Bring a database to the version of this program, and never back.

A version this program does not know belongs to a newer one, whose columns and promises it would break.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from reconciler.store.unusable import StoreUnusable

FOLDER = Path(__file__).parent / "migrations"


def configuration(connection: Connection | None = None) -> Config:
    config = Config()
    # Alembic would read a percent sign in the path as the start of an option's name.
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def migrate(connection: Connection, version: str | None) -> None:
    config = configuration(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise StoreUnusable(
            f"The journal is of version {version[:40]!r}, which this program does not know; a newer one made it.",
            "Start that newer version, or give another place for the journal.",
        )
    command.upgrade(config, "head")
