"""The condition that a column has a value of a list, which is one parameter."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from storage.engine import connections
from storage.engine.database import Database
from storage.engine.membership import is_among
from storage.migrations import schema_version
from storage.tables.runs import RUNS
from tests import life

pytestmark = pytest.mark.anyio


async def test_a_list_selects_rows_by_texts_and_by_numbers(database: Database) -> None:
    made = [await life.running(database) for _ in range(3)]

    def ids_among(connection: Connection, column: str, values: list[object]) -> set[str]:
        which = is_among(RUNS.c[column], "values")
        return set(connection.execute(select(RUNS.c.id).where(which), {"values": values}).scalars())

    ids = [run.id for run in made]
    assert await database.read(ids_among, "id", [*ids[:2], 'an "id" that isn\'t']) == set(ids[:2])
    assert await database.read(ids_among, "seq", [run.seq for run in made[1:]]) == set(ids[1:])
    assert await database.read(ids_among, "id", []) == set()


def test_a_list_is_looked_up_by_the_index_of_its_column(tmp_path: Path) -> None:
    engine = connections.engine(f"sqlite:///{tmp_path / 'a.db'}", readonly=False, connections=1)
    with engine.begin() as connection:
        schema_version.upgrade(connection)
        query = str(select(RUNS.c.prompt).where(is_among(RUNS.c.id, "ids")).compile(dialect=connection.dialect))
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", ("[]",)).all()
    engine.dispose()
    assert plan[0][-1].startswith("SEARCH runs USING INDEX")
