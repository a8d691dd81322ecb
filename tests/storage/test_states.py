"""The table of moves, and that the database enforces it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from sqlalchemy import Connection, Table, exc, select, update

from storage import states
from storage.engine.database import Database
from storage.repositories import runs
from storage.tables.deliveries import DELIVERIES
from storage.tables.jobs import JOBS
from storage.tables.runs import RUNS, UPSTREAM_LINKS
from storage.transitions import receiving
from tests import life
from tests.storage import scratch

PAIRS = list(itertools.product(states.Status, repeat=2))
ENUMS = [
    (RUNS, "status", states.Status),
    (RUNS, "origin", states.Origin),
    (RUNS, "settled_by", states.Source),
    (UPSTREAM_LINKS, "role", states.Role),
    (DELIVERIES, "source", (states.Source.WATCHER, states.Source.PLATFORM)),
    (DELIVERIES, "verdict", states.Verdict),
    (JOBS, "kind", states.Kind),
    (JOBS, "trigger", states.Source),
]


def _run_in(connection: Connection, status: states.Status) -> str:
    run = life.submitted(connection)
    connection.execute(update(RUNS).values(status=status.value))
    return run.id


@pytest.mark.parametrize(("source", "to"), PAIRS)
def test_a_run_moves_along_the_table_and_nowhere_else(
    scratch_url: str, source: states.Status, to: states.Status
) -> None:
    with scratch.connected(scratch_url) as connection:
        run_id = _run_in(connection, source)
        assert runs.transition(connection, run_id, to, {}) is ((source, to) in states.MOVES)
        found = connection.execute(select(RUNS.c.status)).scalar_one()
        assert found == (to if (source, to) in states.MOVES else source)


def test_nothing_leaves_a_terminal_state() -> None:
    assert not [move for move in states.MOVES if move[0] in states.TERMINAL]


def test_every_live_state_may_end_as_the_upstream_reports() -> None:
    expected = set(itertools.product(states.LIVE, states.REPORTED))
    assert expected <= set(states.MOVES)


def test_a_lost_run_is_not_terminal() -> None:
    assert states.LOST in states.LIVE


def test_sources_are_the_states_that_may_move_there() -> None:
    for to in states.Status:
        assert set(states.predecessors(to)) == {source for source, aim in states.MOVES if aim is to}


def test_every_kind_of_job_has_a_priority() -> None:
    assert set(states.PRIORITY) == set(states.Kind)


@pytest.mark.parametrize(("table", "column", "values"), ENUMS, ids=lambda value: str(value)[:20])
@pytest.mark.anyio
async def test_the_schema_refuses_a_word_that_is_in_no_list(
    table: Table, column: str, values: object, database: Database
) -> None:
    rows = await _rows(database)
    names = f"{column}|road" if column in ("source", "trigger") else column  # SQLite keeps names of constraints
    with pytest.raises(exc.IntegrityError, match=rf"ck_{table.name}_({names})\b"):
        await database.write(_insert, table, {**rows[table.name], column: "unheard of"})


@pytest.mark.parametrize(("table", "column", "values"), ENUMS, ids=lambda value: str(value)[:20])
@pytest.mark.anyio
async def test_the_schema_takes_every_word_of_the_list(
    table: Table, column: str, values: type[states.Status], database: Database
) -> None:
    rows = await _rows(database)
    for value in values:
        await database.write(_insert, table, {**rows[table.name], column: value.value})
        await database.write(_empty, table)


def _insert(connection: Connection, table: Table, row: Mapping[str, object]) -> None:
    connection.execute(table.insert(), row)


def _empty(connection: Connection, table: Table) -> None:
    connection.execute(table.delete())


async def _rows(database: Database) -> dict[str, dict[str, object]]:
    """A row of each table with enums, taken from a life and removed again."""
    run = await life.queued(database)
    await database.write(receiving.accept_delivery, life.delivery(run_id=run.id))
    return await database.write(_take_rows)


def _take_rows(connection: Connection) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for table, _, _ in ENUMS:
        row = connection.execute(select(table)).mappings().first()
        if row is not None:
            found[table.name] = dict(row)
            connection.execute(table.delete())
    return found
