"""The revision of a database's schema, and its upgrade to that of this release.

Each step is a file under `versions`, named by its revision; Alembic records it in the transaction of the step.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from storage import errors
from storage.engine import dialect

VERSIONS = Path(__file__).parent / "versions"


def revisions() -> list[str]:
    """Return the revisions that this release knows, oldest first: `0012` of `m0012_names.py`."""
    return sorted(file.stem[1:5] for file in VERSIONS.glob("m[0-9]*.py"))


def newest() -> str:
    """Return the revision that this release needs."""
    return revisions()[-1]


def current(connection: Connection) -> str | None:
    """Return the revision of a database, None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def upgrade(connection: Connection) -> bool:
    """Migrate a database to the newest revision; return whether it was older. Raises SchemaMismatch.

    Several processes may call this at once: one migrates, and the others wait and find it done.
    """
    dialect.acquire_locks(connection, ["migrations"])
    found = current(connection)
    if found == newest():
        return False
    _require_known(found)
    # Alembic is slow to import, and a database at the newest revision does not need it.
    from storage.migrations import alembic_runner

    alembic_runner.upgrade(connection)
    return True


def check(connection: Connection) -> None:
    """Raise SchemaMismatch unless the database is at the newest revision."""
    found, needed = current(connection), newest()
    if found != needed:
        _require_known(found)
        raise errors.SchemaMismatch(
            f"the database is at schema {found or 'none'}, this release needs {needed}: run `runledger migrate`"
        )


def _require_known(found: str | None) -> None:
    if found is not None and found not in revisions():
        raise errors.SchemaMismatch(
            f"the database is at schema {found}, newer than this release ({newest()}): install the newer release"
        )
