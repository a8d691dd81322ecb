"""The schema and its history are one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from alembic import autogenerate, command
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, select, text

from storage import dialect, errors, migrations, rollups, search, tables, words
from storage.database import Database

pytestmark = [
    pytest.mark.anyio,
    # SQLAlchemy cannot read an index of an expression back from SQLite; the test of all indexes can.
    pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index ix_runs_"),
    pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index"),
]


@contextmanager
def opened(url: str) -> Iterator[Connection]:
    """A connection past the door, whose transaction is committed at the end."""
    engine = dialect.engine(url, readonly=False, connections=1)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


async def test_a_migrated_database_has_the_schema_of_the_tables(database: Database) -> None:
    def differences(connection: Connection) -> object:
        def is_of(item: Any, _name: object, kind: str, _reflected: bool, _other: object) -> bool:
            return migrations.is_of(connection, item, kind)

        opts = {"compare_server_default": True, "include_object": is_of}
        return autogenerate.compare_metadata(MigrationContext.configure(connection, opts=opts), tables.metadata)

    assert await database.read(differences) == []


async def test_a_migrated_database_has_the_constraints_of_the_tables(database: Database) -> None:
    found = await database.read(_constraints)
    for table in tables.metadata.sorted_tables:
        assert found[table.name] == {str(constraint.name) for constraint in table.constraints}, table.name


def _constraints(connection: Connection) -> dict[str, set[str | None]]:
    look = inspect(connection)
    return {
        name: {
            look.get_pk_constraint(name)["name"],
            *(each["name"] for each in look.get_unique_constraints(name)),
            *(each["name"] for each in look.get_check_constraints(name)),
        }
        for name in look.get_table_names()
    }


def test_a_migrated_database_has_the_indexes_of_the_tables(empty_url: str) -> None:
    with opened(empty_url) as connection:
        tables.metadata.create_all(connection)
        wanted = _indexes(connection)
        tables.metadata.drop_all(connection)
        migrations.upgrade(connection)
        assert _indexes(connection) == wanted


def _indexes(connection: Connection) -> dict[str, str]:
    """The statements that would make them, by their names."""
    looks = {
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        "postgresql": "SELECT indexname, indexdef FROM pg_indexes "
        "WHERE schemaname = 'public' AND tablename NOT IN ('alembic_version', 'passage_words')",
    }
    rows = connection.execute(text(looks[connection.dialect.name]))
    return {name: re.sub(r"\s+", " ", made) for name, made in rows}


def test_every_constraint_and_index_has_a_name() -> None:
    for table in tables.metadata.sorted_tables:
        assert all(constraint.name for constraint in table.constraints), table.name
        assert all(index.name for index in table.indexes), table.name


def test_bringing_an_empty_database_up_does_something(empty_url: str) -> None:
    with opened(empty_url) as connection:
        assert migrations.upgrade(connection)
        assert migrations.current(connection) == migrations.newest()


async def test_bringing_it_up_again_does_nothing(database: Database) -> None:
    assert await database.write(migrations.upgrade) is False


async def test_the_newest_schema_passes_the_check(database: Database) -> None:
    await database.read(migrations.check)


def test_an_empty_database_fails_the_check_with_what_to_do(empty_url: str) -> None:
    with opened(empty_url) as connection, pytest.raises(errors.SchemaMismatch, match="runledger migrate"):
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


def test_a_run_that_was_indexed_by_the_words_of_before_waits_to_be_indexed_anew(empty_url: str) -> None:
    with opened(empty_url) as connection:
        command.upgrade(migrations.config(connection), "0005")
        connection.execute(
            text(
                "INSERT INTO runs (seq, id, status, origin, submitted_by, accepted_at, prompt, watched) VALUES "
                "(7, 'a', 'queued', 'submitted', 'b', '2026-11-23T12:00:00.000000Z', 'Gesamt\u00adkonzept', false)"
            )
        )
        connection.execute(
            tables.PASSAGES.insert(), {"id": 7 * search.ROWS, "part": "prompt", "start": 0, "stop": 14}
        )
        dialect.keep_words(connection, [(7 * search.ROWS, ["gesamt", "konzept"])])
        migrations.upgrade(connection)
        assert search.index(connection, search.waiting(connection, 50)) == 1
        found = [search.saying(connection, words.Phrase((word,)), None) for word in ("gesamt", "gesamtkonzept")]
        assert [list(connection.execute(each).scalars()) for each in found] == [[], [7]]


def test_an_upgrade_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    with opened(empty_url) as connection:
        migrations.upgrade(connection)
        connection.rollback()
    with opened(empty_url) as connection:
        assert inspect(connection).get_table_names() == []


def test_names_of_tools_that_are_too_long_for_an_index_are_cut_once(empty_url: str) -> None:
    names = ["a" * 300, "a" * 250, "b", "a" * 200]
    with opened(empty_url) as connection:
        command.upgrade(migrations.config(connection), "0005")
        rows = [{"name": name, "run_seq": 1, "run_id": "r"} for name in names]
        connection.execute(tables.RUN_TOOLS.insert(), rows)
        migrations.upgrade(connection)
        assert sorted(connection.execute(select(tables.RUN_TOOLS.c.name)).scalars()) == ["a" * 200, "b"]


def test_sums_that_64_bits_do_not_hold_are_migrated_as_the_largest_number(empty_url: str) -> None:
    with opened(empty_url) as connection:
        command.upgrade(migrations.config(connection), "0004")
        told = "'submitted', 'completed', 'backend', '2026-11-23T12:00:00.000000Z', 9007199254740991, 7"
        columns = "seq, id, origin, status, submitted_by, accepted_at, cost_micros, input_tokens"
        rows = ", ".join(f"({at}, 'run {at}', {told})" for at in range(1, 1101))
        connection.execute(text(f"INSERT INTO runs ({columns}) VALUES {rows}"))
        migrations.upgrade(connection)
        sums = text("SELECT runs, cost_micros, input_tokens, output_tokens FROM rollup_models")
        assert tuple(connection.execute(sums).one()) == (1100, 2**63 - 1, 7700, 0)
        assert rollups.verify(connection).differences == []


ABSURD = [
    ("completed", "0001-01-01T00:00:00.000000Z", 4503599627370496),
    ("completed", "9999-12-31T23:59:59.999999Z", -1),
    ("running", "2026-11-23T12:00:00.000000Z", 2592000001),
    ("completed", "2026-11-23T12:00:00.000000Z", 2592000000),
]


def test_durations_and_instants_that_cannot_be_are_taken_out_of_rows_and_rollups(empty_url: str) -> None:
    columns = "seq, id, origin, submitted_by, accepted_at, status, created_at, duration_ms"
    told = "'submitted', 'backend', '2026-11-23T12:00:00.000000Z'"
    rows = [f"({at}, 'run {at}', {told}, '{each[0]}', '{each[1]}', {each[2]})" for at, each in enumerate(ABSURD)]
    with opened(empty_url) as connection:
        command.upgrade(migrations.config(connection), "0010")
        connection.execute(text(f"INSERT INTO runs ({columns}) VALUES {', '.join(rows)}"))
        rollups.rebuild(connection)
        migrations.upgrade(connection)
        found = connection.execute(text("SELECT created_at IS NULL, duration_ms FROM runs ORDER BY seq")).all()
        assert [(bool(absent), duration) for absent, duration in found] == [
            (True, None),
            (True, None),
            (False, None),
            (False, 2592000000),
        ]
        assert rollups.verify(connection).differences == []
        assert connection.execute(text("SELECT max(max_duration_ms) FROM rollup_models")).scalar() == 2592000000


def test_rows_within_the_bounds_are_left_alone(empty_url: str) -> None:
    with opened(empty_url) as connection:
        command.upgrade(migrations.config(connection), "0010")
        connection.execute(
            text("INSERT INTO rollup_agents VALUES ('d', 'a', 'failed', true, 1, 1, 1, 1, 1, 1, 1)")
        )
        migrations.upgrade(connection)
        assert connection.execute(text("SELECT runs FROM rollup_agents")).scalars().all() == [1]
