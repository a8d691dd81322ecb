"""A prepared statement returns what the statement itself returns."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, literal_column, select

from storage import errors
from storage.engine.database import Database
from storage.engine.membership import is_among
from storage.engine.prepared import Prepared
from storage.tables.runs import RUNS
from tests import life

pytestmark = pytest.mark.anyio

STATEMENT = select(*RUNS.c).where(RUNS.c.id == bindparam("id")).limit(bindparam("most"))


async def test_it_returns_the_rows_of_its_statement(database: Database) -> None:
    run = await life.settled_run(database, object_ids=("obj_1",))
    parameters: dict[str, Any] = {"id": run.id, "most": 2}
    prepared = Prepared(lambda _: STATEMENT)

    def read(connection: Connection) -> None:
        (row,) = prepared.all(connection, parameters)
        assert tuple(row) == tuple(connection.execute(STATEMENT, parameters).one())
        assert (row.id, row.watched, row.object_ids) == (run.id, run.watched, ["obj_1"])
        assert prepared.first(connection, {"id": "none", "most": 1}) is None

    await database.read(read)


async def test_a_list_is_one_parameter(database: Database) -> None:
    run = await life.settled_run(database)
    prepared = Prepared(lambda _: select(RUNS.c.id).where(is_among(RUNS.c.id, "ids")))
    found = await database.read(prepared.all, {"ids": [run.id, "none", "'"]})
    assert [row.id for row in found] == [run.id]


async def test_its_errors_are_those_of_any_statement(embedded: Database) -> None:
    broken = Prepared(lambda _: select(literal_column("nothing").label("nothing")).select_from(RUNS))
    with pytest.raises(errors.Unavailable, match="nothing"):
        await embedded.read(broken.all, {})
