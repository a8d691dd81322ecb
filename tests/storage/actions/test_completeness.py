"""The runs of a range, and reports that are kept."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from storage import ids, merkle
from storage.actions import completeness
from storage.engine.database import Database
from storage.repositories import runs
from storage.tables.ledger import COMPLETENESS_REPORTS
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio


async def test_a_range_has_its_beginning_and_not_its_end_and_comes_in_pieces(database: Database) -> None:
    made = [await life.accepted(database, accepted_at=life.at(second)) for second in range(4)]
    begin, end = life.at(1), life.at(3)
    found = await database.read(completeness.in_range, begin, end, -1, 10)
    assert [(each.id, each.created) for each in found] == [(each.id, each.accepted_at) for each in made[1:3]]
    rest = await database.read(completeness.in_range, begin, end, found[0].seq, 10)
    assert [each.id for each in rest] == [made[2].id]
    assert len(await database.read(completeness.in_range, begin, end, -1, 1)) == 1


async def test_a_run_counts_by_its_creation_upstream(database: Database) -> None:
    run: runs.Run = await life.settled_run(database)
    assert run.created_at is not None
    (found,) = await database.read(completeness.in_range, run.created_at, life.at(100), -1, 10)
    assert (found.id, found.upstream_id, found.status) == (run.id, run.upstream_id, run.status)
    assert await database.read(completeness.imported, [run.id]) == set()


async def test_a_report_is_kept_once_with_its_entry(database: Database) -> None:
    body = merkle.canonical({"listed": 3}).decode()
    report = completeness.Report(
        ids.new(life.NOW),
        life.NOW,
        life.NOW,
        life.at(9),
        {"listed": 3},
        body,
        merkle.salted_digest("report", body),
    )
    for _ in range(2):
        await database.write(completeness.record, report, "operator")
    kept = select(COMPLETENESS_REPORTS.c.body)
    assert await database.read(lambda connection: connection.execute(kept).scalars().all()) == [body]
    found = [each for each in await ledgers.entries(database, None) if each.kind == "completeness.checked"]
    assert [each.proves("report", body.encode()) for each in found] == [True]
    assert found[0].facts == {
        "reportId": report.id,
        "from": "2026-11-23T12:00:00.000000Z",
        "to": "2026-11-23T12:00:09.000000Z",
        "listed": 3,
    }
