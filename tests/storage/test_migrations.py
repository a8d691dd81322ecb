"""The schema and its history are one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import autogenerate
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, CreateTable, create_engine, inspect, text
from sqlalchemy.dialects import sqlite

from storage import dialect, errors, migrations, tables
from storage.database import Database

pytestmark = pytest.mark.anyio


@contextmanager
def empty(path: Path) -> Iterator[Connection]:
    """A connection to a database in which nothing is."""
    engine = dialect.engine(f"sqlite:///{path / 'empty.db'}", readonly=False, connections=1)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


async def test_a_migrated_database_has_the_schema_of_the_tables(database: Database) -> None:
    def differences(connection: Connection) -> object:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return autogenerate.compare_metadata(context, tables.metadata)

    assert await database.read(differences) == []


async def test_a_migrated_database_has_the_constraints_of_the_tables(database: Database) -> None:
    found = await database.read(_definitions)
    for table in tables.metadata.sorted_tables:
        wanted = str(CreateTable(table).compile(dialect=sqlite.dialect()))
        assert _constraints(found[table.name]) == _constraints(wanted), table.name


def _definitions(connection: Connection) -> dict[str, str]:
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    return {row.name: row.sql for row in rows}


def _constraints(definition: str) -> set[str]:
    return {re.sub(r"\s+", " ", found) for found in re.findall(r"CONSTRAINT [^\n]+?(?=,?\s*\n)", definition)}


async def test_a_migrated_database_has_the_indexes_of_the_tables(database: Database) -> None:
    assert await database.read(_indexes) == _indexes_of(tables.metadata.create_all)


def _indexes_of(create: Callable[[Connection], None]) -> dict[str, str]:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        create(connection)
        found = _indexes(connection)
    engine.dispose()
    return found


def _indexes(connection: Connection) -> dict[str, str]:
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"))
    return {row.name: re.sub(r"\s+", " ", row.sql) for row in rows}


def test_every_constraint_and_index_has_a_name() -> None:
    for table in tables.metadata.sorted_tables:
        assert all(constraint.name for constraint in table.constraints), table.name
        assert all(index.name for index in table.indexes), table.name


def test_bringing_an_empty_database_up_does_something(tmp_path: Path) -> None:
    with empty(tmp_path) as connection:
        assert migrations.upgrade(connection)
        assert migrations.current(connection) == migrations.newest()


async def test_bringing_it_up_again_does_nothing(database: Database) -> None:
    assert await database.write(migrations.upgrade) is False


async def test_the_newest_schema_passes_the_check(database: Database) -> None:
    await database.read(migrations.check)


def test_an_empty_database_fails_the_check_with_what_to_do(tmp_path: Path) -> None:
    with empty(tmp_path) as connection, pytest.raises(errors.SchemaMismatch, match="runledger migrate"):
        migrations.check(connection)


@pytest.mark.parametrize("function", [migrations.check, migrations.upgrade])
async def test_a_schema_of_a_later_release_is_left_alone(
    function: Callable[[Connection], object], database: Database
) -> None:
    await database.write(
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9'"))
    )
    with pytest.raises(errors.SchemaMismatch, match="newer than this release"):
        await database.write(function)


def test_an_upgrade_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with empty(tmp_path) as connection:
        migrations.upgrade(connection)
        connection.rollback()
    with empty(tmp_path) as connection:
        assert inspect(connection).get_table_names() == []
