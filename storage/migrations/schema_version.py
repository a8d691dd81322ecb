"""Run the migrations of the schema.

Each step is a file under `versions`, named by number; Alembic records it in the transaction of the step.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from storage import errors
from storage.engine import dialect


def config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, without a file; its commands use the connection."""
    result = Config()
    result.set_main_option("script_location", str(Path(__file__).parent))
    result.attributes["connection"] = connection
    return result


def current(connection: Connection) -> str | None:
    """Return the revision of a database, None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """Return the revision that this release needs."""
    head = ScriptDirectory.from_config(config()).get_current_head()
    assert head is not None
    return head


def upgrade(connection: Connection) -> bool:
    """Migrate a database to the newest revision; return whether it was older. Raises SchemaMismatch.

    Several processes may call this at once: one migrates, and the others wait and find it done.
    """
    dialect.acquire_locks(connection, ["migrations"])
    found, needed = current(connection), newest()
    if found == needed:
        return False
    _require_known(found, needed)
    command.upgrade(config(connection), "head")
    return True


def check(connection: Connection) -> None:
    """Raise SchemaMismatch unless the database is at the newest revision."""
    found, needed = current(connection), newest()
    if found != needed:
        _require_known(found, needed)
        raise errors.SchemaMismatch(
            f"the database is at schema {found or 'none'}, this release needs {needed}: run `runledger migrate`"
        )


def _require_known(found: str | None, needed: str) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
    if found is not None and found not in known:
        raise errors.SchemaMismatch(
            f"the database is at schema {found}, newer than this release ({needed}): install the newer release"
        )
