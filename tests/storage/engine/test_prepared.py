"""A prepared statement returns what the statement itself returns."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, literal_column, select, update

from storage import errors
from storage.engine.database import Database
from storage.engine.membership import is_among
from storage.engine.prepared import Change, Prepared
from storage.repositories import runs
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


async def test_a_stream_has_the_same_rows(database: Database) -> None:
    made = [await life.accepted(database) for _ in range(3)]
    named = Prepared(lambda _: select(RUNS.c.id).order_by(RUNS.c.seq))
    found = await database.read(lambda connection: [row.id for row in named.stream(connection, {})])
    assert found == [each.id for each in made]


async def test_a_change_returns_how_many_rows_it_changed(database: Database) -> None:
    run = await life.accepted(database)
    change = Change(lambda _: update(RUNS).where(RUNS.c.id == bindparam("of")).values(asked_at=bindparam("at")))
    assert await database.write(change.run, {"of": run.id, "at": life.at(5)}) == 1
    assert await database.write(change.run, {"of": "none", "at": life.at(5)}) == 0
    assert [each.asked_at for each in await database.read(runs.get_full, [run.seq])] == [life.at(5)]


async def test_its_errors_are_those_of_any_statement(embedded: Database) -> None:
    broken = Prepared(lambda _: select(literal_column("nothing").label("nothing")).select_from(RUNS))
    with pytest.raises(errors.Unavailable, match="nothing"):
        await embedded.read(broken.all, {})
