"""Values that another program stored: no value of one run keeps the others from being read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, text

from storage import bounds
from storage.engine import column_types
from storage.engine.database import Database
from storage.query import grammar, run_chunks, run_lines, run_pages
from storage.search import index
from tests import life

pytestmark = pytest.mark.anyio

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati")


def changed(sql: str, **values: Any) -> Any:
    return lambda connection: connection.execute(text(sql), values).close()


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
        ("-infinity", "infinity"),
        ("0044-03-15 12:00:00+00 BC", "20000-01-01T00:00:00Z"),
    ],
)
async def test_instants_of_any_year_are_read_in_any_time_zone(
    served: Database, zone: str, first: str, last: str
) -> None:
    run = await life.settled_run(served)
    other = await life.settled_run(served)
    sql = "UPDATE runs SET created_at = CAST(:last AS timestamptz), started_at = CAST(:first AS timestamptz)"
    await served.write(changed(f"{sql} WHERE id = :id", last=last, first=first, id=run.id))

    def read(connection: Connection) -> tuple[Sequence[run_lines.Line], Any]:
        connection.exec_driver_sql(f"SET LOCAL TIME ZONE '{zone}'")
        page, _ = run_pages.page(connection, run_pages.Query())
        return page, run_chunks.read_chunk(
            connection, grammar.EVERYTHING, index.Window(1, 100), run_chunks.Parts()
        ).records

    page, records = await served.read(read)
    found = [each.run for each in records]
    assert [each.id for each in found] == [each.id for each in page[::-1]] == [run.id, other.id]
    assert (found[0].started_at, found[0].created_at) == (bounds.FIRST, bounds.LAST)
    spelled = (column_types.instant_text(bounds.FIRST), column_types.instant_text(bounds.LAST))
    assert (page[-1].started_at, page[-1].created_at) == spelled


async def test_a_text_that_is_no_instant_or_no_json_is_no_reason_to_read_nothing(embedded: Database) -> None:
    run = await life.settled_run(embedded, object_ids=("obj_1",))
    other = await life.settled_run(embedded)
    await embedded.write(
        changed("UPDATE runs SET created_at = 'soon', object_ids = '{' WHERE id = :id", id=run.id)
    )
    page, _ = await embedded.read(run_pages.page, run_pages.Query())
    assert [each.id for each in page] == [other.id, run.id]
    found = await life.get_run(embedded, run.id)
    assert (found.created_at, found.object_ids) == (bounds.FIRST, "{")
