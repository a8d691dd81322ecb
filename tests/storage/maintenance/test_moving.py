"""A store moves from a file into a database server, and both are the same."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import CheckConstraint, Connection, PrimaryKeyConstraint, Table, UniqueConstraint

from storage import errors, states
from storage.engine import connections, urls
from storage.engine.database import Database
from storage.ledger import entries
from storage.maintenance import comparison, moving
from storage.models import schema
from storage.repositories import jobs, runs, system_state
from storage.search import index
from storage.stats import rollups
from storage.tables import declare
from storage.tables.runs import RUN_TAGS, RUNS
from storage.transitions import receiving
from tests import life, postgres

pytestmark = pytest.mark.anyio

#: What is hard to carry over.
TEXTS = ("", " ", "é€𝄞\u200b", "line\nline\t\\x00 \\u0000", "x" * 1000)
NUMBERS = {"b": 1.0, "a": [None, -0.0, 1e22, 1.5e300, 0.1, 2**60]}
JSONS: tuple[Any, ...] = ({}, [], "text", True, 0, 1e22, "7", NUMBERS, {"é": {"\u2028": "𝄞"}})
#: What a column may hold that is checked.
ALLOWED: dict[str, str | None] = {
    "action": "cancel",
    "source": "platform",
    "trigger": "platform",
    "verdict": "accepted",
    "status": "running",
    "origin": "adopted",
    "role": "run",
    "scope": "run",
    "settled_by": "sweep",
    "kind": "settle",
    "moved_to": None,
}


@pytest.fixture
def to(cluster: postgres.Cluster) -> str:
    """The address of a database in which nothing is."""
    return cluster.fresh("template0")


#: What is made of others is made anew.
COPIED = [table for table in schema.metadata.sorted_tables if not declare.is_derived(table)]


def moved(database: Database, to: str) -> list[comparison.TableComparison]:
    return moving.move(database.url, to, life.NOW, lambda *_: None)


def _value(column: Any, at: int) -> Any:
    """The value number `at` for a column, of the kind that it holds; None now and then where it may be."""
    kinds: dict[str, tuple[Any, ...]] = {
        "Text": TEXTS,
        "Json": JSONS,
        "Instant": (datetime(1, 1, 1, tzinfo=UTC), life.NOW, datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
        "LargeBinary": (b"", bytes(range(256))),
        "BigInteger": (0, -(2**62), 2**62 - 1),  # there is an index of the sum of two
        "Boolean": (True, False),
    }
    values = kinds[type(column.type).__name__]
    return None if column.nullable and at % 5 == 4 else values[at % len(values)]


def _key(column: Any, at: int) -> Any:
    """A value that no other row has, in an order that depends on how texts are compared."""
    kinds = {"Text": f"{'zA_ä'[at % 4]}{at % 7} {at}", "BigInteger": 1 + (at - 1) * 2**40, "Instant": life.at(at)}
    return kinds[type(column.type).__name__]


def _fill(connection: Connection, table: Table) -> None:
    """Rows with everything in them that is hard to carry over."""
    keyed = {name for each in table.constraints for name in _keyed(each)}
    checked = {str(each.name).removeprefix(f"ck_{table.name}_") for each in table.constraints if _is_check(each)}
    for at in range(1, 2 if table.name == "system_state" else 40):
        row = {column.name: (_key if column.name in keyed else _value)(column, at) for column in table.columns}
        allowed = {name: ALLOWED[name] for name in (checked | {"moved_to"}) & row.keys()}
        if table.name == "run_reviews":
            allowed["verdict"] = "comment"
        connection.execute(table.insert().values({**row, **allowed}))


def _keyed(constraint: Any) -> list[str]:
    is_key = isinstance(constraint, UniqueConstraint | PrimaryKeyConstraint)
    return [column.name for column in constraint.columns] if is_key else []


def _is_check(constraint: Any) -> bool:
    return isinstance(constraint, CheckConstraint)


async def lived(database: Database) -> runs.Run:
    """A store in which much has happened; a run of it that is not over."""
    for _ in range(3):
        await life.settled_run(database, tags={"matter": "0042"})
    await database.write(receiving.accept_delivery, life.event("run_x"))
    await database.write(system_state.record_heartbeat, life.NOW)
    await database.write(entries.number, 10)
    return await life.accepted(database, object_ids=("obj_1",))


async def test_a_store_that_was_moved_is_the_same(embedded: Database, to: str) -> None:
    run, last = await lived(embedded), await embedded.read(entries.last_number)
    found = moved(embedded, to)
    assert all(each.is_equal and each.first_difference is None for each in found)
    assert {each.table for each in found} == {table.name for table in COPIED} | {"alembic_version"}
    async with Database(to) as served:
        assert (await served.read(index.lag)).runs == 4
        counted = await served.read(rollups.verify)
        assert (counted.rows > 0, counted.differences) == (True, [])
        assert await life.get_run(served, run.id) == run
        assert await served.read(entries.last_number) == last > 9


async def test_work_continues_on_the_target_of_a_move(embedded: Database, to: str) -> None:
    run = await lived(embedded)
    moved(embedded, to)
    async with Database(to) as served:
        await served.read(system_state.require_original)
        await life.settled_run(served)
        start = await life.claimed(served, states.Kind.START, run.id)
        await served.write(jobs.complete, start)


async def test_no_server_works_on_the_file_any_more(embedded: Database, to: str) -> None:
    await lived(embedded)
    moved(embedded, to)
    with pytest.raises(errors.DatabaseMoved, match=r"moved to postgresql\+psycopg://"):
        await embedded.read(system_state.require_original)


@pytest.mark.parametrize("table", COPIED, ids=str)
async def test_all_that_a_table_can_hold_is_the_same_on_the_other_side(
    embedded: Database, server_url: str, table: Table
) -> None:
    await embedded.write(_fill, table)
    (found,) = [each for each in moved(embedded, server_url) if each.table == table.name]
    assert found.is_equal
    assert found.rows[0] == (1 if table.name == "system_state" else 39)


async def test_what_was_moved_is_not_moved_again(embedded: Database, to: str, cluster: postgres.Cluster) -> None:
    moved(embedded, to)
    with pytest.raises(errors.DatabaseMoved):
        moved(embedded, cluster.fresh("template0"))


async def test_nothing_is_moved_into_what_is_not_empty(embedded: Database, server_url: str) -> None:
    async with Database(server_url) as served:
        await life.accepted(served)
    with pytest.raises(errors.TargetNotEmpty, match="its table jobs"):
        moved(embedded, server_url)
    assert not await embedded.read(system_state.require_original)


async def test_a_database_of_another_program_is_not_empty(embedded: Database, to: str) -> None:
    with psycopg.connect(**connections.libpq_arguments(to)) as other:
        other.execute("CREATE TABLE things (name text)")
    with pytest.raises(errors.TargetNotEmpty, match="its table things"):
        moved(embedded, to)


async def test_one_that_was_just_migrated_is_empty(embedded: Database, server_url: str) -> None:
    await lived(embedded)
    assert all(each.is_equal for each in moved(embedded, server_url))


async def test_what_the_server_cannot_hold_is_named_and_nothing_is_there(embedded: Database, to: str) -> None:
    run, other, tagged = [await life.settled_run(embedded, tags={"client": "acme"}) for _ in range(3)]
    long = "".join(random.Random(7).choices("0123456789abcdef", k=6400))

    def spoil(connection: Connection) -> None:
        runs.update(connection, RUNS.c.id == run.id, {"output": "before\x00after"})
        runs.update(connection, RUNS.c.id == other.id, {"model": long})
        connection.execute(RUN_TAGS.update().where(RUN_TAGS.c.run_seq == tagged.seq).values(value=long))

    await embedded.write(spoil)
    with pytest.raises(errors.UnstorableValue, match="cannot hold 3 rows") as caught:
        moved(embedded, to)
    said = str(caught.value)
    assert f"run {run.id}: the row of runs with seq {run.seq}: " in said
    assert "NUL" in said
    assert f"run {other.id}: the row of runs with seq {other.seq}: index row" in said
    assert f"run {tagged.id}: the row of run_tags with run_seq {tagged.seq}, key client: index row" in said
    with psycopg.connect(**connections.libpq_arguments(to)) as there:
        assert there.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    assert not await embedded.read(system_state.require_original)


CHANGES = {
    "a text": "UPDATE runs SET output = output || '.' WHERE seq = 2",
    "an instant": "UPDATE runs SET settled_at = settled_at + interval '1 microsecond' WHERE seq = 2",
    "a number": "UPDATE runs SET cost_micros = cost_micros + 1 WHERE seq = 2",
    "nothing for something": "UPDATE runs SET summary = NULL WHERE seq = 2",
    "a row less": "DELETE FROM run_steps WHERE position = 1",
    "a row more": "INSERT INTO run_tags (run_seq, key, run_id, value) VALUES (2, 'a', 'b', 'c')",
    "bytes": "UPDATE run_documents SET body = body || '\\x00' WHERE seq = 2",
    "JSON": """UPDATE run_steps SET tool_input = '{"q": "lease "}' WHERE position = 1""",
    "a flag": "UPDATE runs SET watched = NOT watched WHERE seq = 2",
}


@pytest.mark.parametrize("change", CHANGES)
async def test_any_difference_is_found(embedded: Database, to: str, change: str) -> None:
    await lived(embedded)
    moved(embedded, to)
    with closing(sqlite3.connect(urls.file_path(embedded.url) or "")) as file, file:
        file.execute("UPDATE system_state SET moved_to = NULL")
    with psycopg.connect(**connections.libpq_arguments(to)) as there:
        there.execute(CHANGES[change].encode())
        found = list(comparison.compare(urls.file_path(embedded.url) or "", there, lambda *_: None))
    assert len([each for each in found if not each.is_equal]) == 1
    assert len([each for each in found if each.first_difference is not None]) == 1
