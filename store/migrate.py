"""Brings a database to the newest schema: `python -m store.migrate`. Safe to run again, and by several at once."""

from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from store.engine import Database, make_engine
from store.settings import Settings

_LOCK = 0x5EC4_7E02
"""The advisory lock on PostgreSQL under which one migrates and the others wait."""


def upgrade(url: str) -> None:
    """Bring the database at a URL to the newest schema, in one transaction."""
    config = _config()
    engine = make_engine(url, patient=True)
    writing = engine.execution_options(secateur_begin="BEGIN IMMEDIATE")
    try:
        with writing.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def is_current(database: Database) -> bool:
    """Say whether a database is at the newest schema that this version knows."""
    with database.read() as session:
        revision = MigrationContext.configure(session.connection()).get_current_revision()
    return revision == ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    spec = find_spec("migrations")
    if spec is None or spec.origin is None:
        raise RuntimeError("The package 'migrations' is not installed. Install secateur with its extra: secateur[all].")
    config = Config()
    config.set_main_option("script_location", str(Path(spec.origin).parent).replace("%", "%%"))
    return config


if __name__ == "__main__":
    upgrade(Settings().database_url)
