"""The schema's history, and bringing a database to the current one.

Each step is a file under `versions`, named by number; Alembic records it in the transaction of the step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from storage import dialect, errors
from storage.tables import declare


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration without a file; with the connection that its commands use."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.attributes["connection"] = connection
    return made


def is_of(connection: Connection, item: Any, kind: str) -> bool:
    """Whether this kind of database has that item of the schema: some indexes are one database's alone.

    What words are kept in is made by `dialect`, and no metadata tell of it.
    """
    if kind in ("table", "index") and "passage_words" in item.name:
        return False
    only = item.info.get(declare.ONLY) if kind == "index" else None
    return only in (None, connection.dialect.name)


def current(connection: Connection) -> str | None:
    """The revision of a database, None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """The revision that this release works with."""
    head = ScriptDirectory.from_config(config()).get_current_head()
    assert head is not None
    return head


def upgrade(connection: Connection) -> bool:
    """Brings a database to the newest revision; whether there was anything to do. Raises SchemaMismatch.

    Of several at once one does it, and the others find it done.
    """
    dialect.one_by_one(connection, ["migrations"])
    found, wanted = current(connection), newest()
    if found == wanted:
        return False
    _demand_known(found, wanted)
    command.upgrade(config(connection), "head")
    return True


def check(connection: Connection) -> None:
    """Raises SchemaMismatch unless the database is at the newest revision."""
    found, wanted = current(connection), newest()
    if found != wanted:
        _demand_known(found, wanted)
        raise errors.SchemaMismatch(
            f"the database is at schema {found or 'none'}, this release needs {wanted}: run `runledger migrate`"
        )


def _demand_known(found: str | None, wanted: str) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
    if found is not None and found not in known:
        raise errors.SchemaMismatch(
            f"the database is at schema {found}, newer than this release ({wanted}): install the newer release"
        )
