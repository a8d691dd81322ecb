"""The schema and its history are one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from alembic import autogenerate, command
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select, text

from storage import errors
from storage.engine import connections
from storage.engine.database import Database
from storage.migrations import alembic_runner, schema_version
from storage.migrations.versions import m0012_names
from storage.models import declare, schema
from storage.query import run_contents
from storage.search import fulltext, tokenizer
from storage.search import index as search_index
from storage.stats import rollups
from storage.tables.declare import ROWS_PER_RUN
from storage.tables.runs import RUN_TOOLS
from storage.tables.search import PASSAGES

pytestmark = [
    pytest.mark.anyio,
    # SQLAlchemy cannot read an index of an expression back from SQLite; the test of all indexes can.
    pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index ix_runs_"),
    pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index"),
]

RENAMED = {old: new for _, old, new in m0012_names.CONSTRAINTS}


@contextmanager
def opened(url: str) -> Iterator[Connection]:
    """Open a connection past the writer; its transaction is committed at the end."""
    engine = connections.engine(url, readonly=False, connections=1)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


async def test_a_migrated_database_has_the_schema_of_the_tables(database: Database) -> None:
    def differences(connection: Connection) -> object:
        def is_of(item: Any, _name: object, kind: str, _reflected: bool, _other: object) -> bool:
            if kind in ("table", "index") and "passage_words" in item.name:  # it is not in the metadata
                return False
            only = item.info.get(declare.ONLY_ON) if kind == "index" else None
            return only in (None, connection.dialect.name)

        opts = {"compare_server_default": True, "include_object": is_of}
        return autogenerate.compare_metadata(MigrationContext.configure(connection, opts=opts), schema.metadata)

    assert await database.read(differences) == []


async def test_a_migrated_database_has_the_constraints_of_the_tables(database: Database) -> None:
    found = await database.read(_constraints)
    for table in schema.metadata.sorted_tables:
        # SQLite keeps the older names.
        assert {RENAMED.get(str(name), name) for name in found[table.name]} == {
            str(constraint.name) for constraint in table.constraints
        }, table.name


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
        schema.metadata.create_all(connection)
        expected = _indexes(connection)
        schema.metadata.drop_all(connection)
        schema_version.upgrade(connection)
        assert _indexes(connection) == expected


def _indexes(connection: Connection) -> dict[str, str]:
    """Return the statements that create the indexes, by name."""
    looks = {
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        "postgresql": "SELECT indexname, indexdef FROM pg_indexes "
        "WHERE schemaname = 'public' AND tablename NOT IN ('alembic_version', 'passage_words')",
    }
    rows = connection.execute(text(looks[connection.dialect.name]))
    return {name: re.sub(r"\s+", " ", made) for name, made in rows}


def test_every_constraint_and_index_has_a_name() -> None:
    for table in schema.metadata.sorted_tables:
        assert all(constraint.name for constraint in table.constraints), table.name
        assert all(index.name for index in table.indexes), table.name


def test_upgrading_an_empty_database_reports_a_change(empty_url: str) -> None:
    with opened(empty_url) as connection:
        assert schema_version.upgrade(connection)
        assert schema_version.current(connection) == schema_version.newest()


async def test_upgrading_again_changes_nothing(database: Database) -> None:
    assert await database.write(schema_version.upgrade) is False


async def test_the_newest_schema_passes_the_check(database: Database) -> None:
    await database.read(schema_version.check)


def test_an_empty_database_fails_the_check_with_what_to_do(empty_url: str) -> None:
    with opened(empty_url) as connection, pytest.raises(errors.SchemaMismatch, match="runledger migrate"):
        schema_version.check(connection)


def test_the_revisions_are_those_that_alembic_finds() -> None:
    found = [each.revision for each in ScriptDirectory.from_config(alembic_runner.config()).walk_revisions()]
    assert schema_version.revisions() == found[::-1]


@pytest.mark.parametrize("function", [schema_version.check, schema_version.upgrade])
async def test_a_schema_of_a_later_release_is_left_alone(
    function: Callable[[Connection], object], database: Database
) -> None:
    await database.write(
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9'"))
    )
    with pytest.raises(errors.SchemaMismatch, match="newer than this release"):
        await database.write(function)


def test_a_run_that_an_older_tokenizer_indexed_is_queued_again(empty_url: str) -> None:
    with opened(empty_url) as connection:
        command.upgrade(alembic_runner.config(connection), "0005")
        connection.execute(
            text(
                "INSERT INTO runs (seq, id, status, origin, submitted_by, accepted_at, prompt, watched) VALUES "
                "(7, 'a', 'queued', 'submitted', 'b', '2026-11-23T12:00:00.000000Z', 'Gesamt\u00adkonzept', false)"
            )
        )
        connection.execute(PASSAGES.insert(), {"id": 7 * ROWS_PER_RUN, "part": "prompt", "start": 0, "stop": 14})
        fulltext.add_words(connection, [(7 * ROWS_PER_RUN, ["gesamt", "konzept"])])
        schema_version.upgrade(connection)
        assert search_index.add(connection, search_index.queued(connection, 50)) == 1
        found = [
            search_index.runs_with(connection, tokenizer.Phrase((word,)), None)
            for word in ("gesamt", "gesamtkonzept")
        ]
        assert [list(connection.execute(each).scalars()) for each in found] == [[], [7]]


def test_an_upgrade_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    with opened(empty_url) as connection:
        schema_version.upgrade(connection)
        connection.rollback()
    with opened(empty_url) as connection:
        assert inspect(connection).get_table_names() == []


def test_names_of_tools_that_are_too_long_for_an_index_are_cut_once(empty_url: str) -> None:
    names = ["a" * 300, "a" * 250, "b", "a" * 200]
    with opened(empty_url) as connection:
        command.upgrade(alembic_runner.config(connection), "0005")
        rows = [{"name": name, "run_seq": 1, "run_id": "r"} for name in names]
        connection.execute(RUN_TOOLS.insert(), rows)
        schema_version.upgrade(connection)
        assert sorted(connection.execute(select(RUN_TOOLS.c.name)).scalars()) == ["a" * 200, "b"]


def test_sums_that_64_bits_do_not_hold_are_migrated_as_the_largest_number(empty_url: str) -> None:
    with opened(empty_url) as connection:
        command.upgrade(alembic_runner.config(connection), "0004")
        common = "'submitted', 'completed', 'backend', '2026-11-23T12:00:00.000000Z', 9007199254740991, 7"
        columns = "seq, id, origin, status, submitted_by, accepted_at, cost_micros, input_tokens"
        rows = ", ".join(f"({at}, 'run {at}', {common})" for at in range(1, 1101))
        connection.execute(text(f"INSERT INTO runs ({columns}) VALUES {rows}"))
        schema_version.upgrade(connection)
        sums = text(
            "SELECT runs, cost_micros, input_tokens, output_tokens FROM rollup_sums WHERE dimension = 'model'"
        )
        assert {tuple(row) for row in connection.execute(sums)} == {(1100, 2**63 - 1, 7700, 0)}
        assert rollups.verify(connection).differences == []


ABSURD = [
    ("completed", "0001-01-01T00:00:00.000000Z", 4503599627370496),
    ("completed", "9999-12-31T23:59:59.999999Z", -1),
    ("running", "2026-11-23T12:00:00.000000Z", 2592000001),
    ("completed", "2026-11-23T12:00:00.000000Z", 2592000000),
]


def test_durations_and_instants_that_cannot_be_are_taken_out_of_rows_and_rollups(empty_url: str) -> None:
    columns = "seq, id, origin, submitted_by, accepted_at, status, created_at, duration_ms"
    common = "'submitted', 'backend', '2026-11-23T12:00:00.000000Z'"
    rows = [f"({at}, 'run {at}', {common}, '{each[0]}', '{each[1]}', {each[2]})" for at, each in enumerate(ABSURD)]
    with opened(empty_url) as connection:
        command.upgrade(alembic_runner.config(connection), "0010")
        connection.execute(text(f"INSERT INTO runs ({columns}) VALUES {', '.join(rows)}"))
        schema_version.upgrade(connection)
        found = connection.execute(text("SELECT created_at IS NULL, duration_ms FROM runs ORDER BY seq")).all()
        assert [(bool(absent), duration) for absent, duration in found] == [
            (True, None),
            (True, None),
            (False, None),
            (False, 2592000000),
        ]
        assert rollups.verify(connection).differences == []
        assert connection.execute(text("SELECT max(max_duration_ms) FROM rollup_sums")).scalar() == 2592000000


def test_rows_within_the_bounds_are_left_alone(empty_url: str) -> None:
    with opened(empty_url) as connection:
        command.upgrade(alembic_runner.config(connection), "0010")
        connection.execute(
            text("INSERT INTO rollup_agents VALUES ('d', 'a', 'failed', true, 1, 1, 1, 1, 1, 1, 1)")
        )
        command.upgrade(alembic_runner.config(connection), "0011")
        assert connection.execute(text("SELECT runs FROM rollup_agents")).scalars().all() == [1]


def test_views_for_users_of_sql_do_not_stop_the_removal_of_their_tables(empty_url: str) -> None:
    with opened(empty_url) as connection:
        command.upgrade(alembic_runner.config(connection), "0013")
        connection.execute(text("CREATE VIEW shown AS SELECT * FROM rollup_models"))
        schema_version.upgrade(connection)
        assert not inspect(connection).has_table("rollup_models")


def test_steps_from_before_stay_and_their_outputs_say_whether_they_failed(empty_url: str) -> None:
    common = "'a', 'tool_result', 's', 'search'"
    with opened(empty_url) as connection:
        command.upgrade(alembic_runner.config(connection), "0020")
        rows = [(at, json.dumps(each)) for at, each in enumerate(({"error": "no access"}, {"error": None}))]
        values = ", ".join(f"({7 * ROWS_PER_RUN + at}, {at}, '{output}', {common})" for at, output in rows)
        columns = "id, position, tool_output, run_id, type, salt, tool_name"
        connection.execute(text(f"INSERT INTO run_steps ({columns}) VALUES {values}"))
        schema_version.upgrade(connection)
        assert [each.is_failed for each in run_contents.outlines(connection, 7)] == [True, False]
