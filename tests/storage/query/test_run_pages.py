"""Pages and counts of many runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, literal, select

from storage import cursors, errors
from storage.engine import dialect
from storage.engine.database import Database, Limits
from storage.engine.prepared import Prepared
from storage.query import grammar, run_pages
from storage.tables.runs import RUN_TAGS, RUNS
from tests import life
from tests.storage import scratch

#: More than the first three windows hold.
MANY = run_pages.WINDOW * (1 + run_pages.GROWTH + run_pages.GROWTH**2) + 1000


def _fill(connection: Connection) -> None:
    """Many runs; one in a hundred is tagged as odd, the very first one as rare."""
    row = {"origin": "submitted", "status": "accepted", "submitted_by": "backend", "accepted_at": life.NOW}
    connection.execute(RUNS.insert(), [{**row, "seq": n, "id": f"id{n}"} for n in range(1, MANY + 1)])
    tags = [{"run_seq": n, "run_id": f"id{n}", "key": "odd", "value": "yes"} for n in range(100, MANY, 100)]
    connection.execute(RUN_TAGS.insert(), [*tags, {"run_seq": 1, "run_id": "id1", "key": "rare", "value": "yes"}])
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE runs, run_tags")  # as any server does that has been up for a while


async def _seqs(database: Database, question: str, **query: Any) -> list[int]:
    asked = run_pages.Query(grammar.parse(question, life.NOW), **query)
    return [run.seq for run in (await database.read(run_pages.page, asked))[0]]


@pytest.mark.anyio
async def test_what_is_in_no_index_is_found_window_by_window(database: Database) -> None:
    await database.write(_fill)
    newest = MANY // 100 * 100
    assert await _seqs(database, "tag.odd:yes", limit=2) == [newest, newest - 100]
    assert await _seqs(database, "tag.odd:yes", limit=2, sort="accepted") == [100, 200]
    assert await _seqs(database, "tag.rare:yes") == [1]
    assert await _seqs(database, "tag.rare:yes", sort="accepted") == [1]
    found, cursor = list[int](), None
    while True:
        asked = run_pages.Query(grammar.parse("tag.odd:yes", life.NOW), limit=100, cursor=cursor)
        page, cursor = await database.read(run_pages.page, asked)
        found += [run.seq for run in page]
        if cursor is None:
            break
    assert found == list(range(newest, 0, -100))


@pytest.mark.anyio
async def test_counts_are_exact_up_to_a_bound(database: Database) -> None:
    await database.write(_fill)
    right = {"": (10_000, False), "tag.odd:yes": (MANY // 100, True), "tag.rare:yes": (1, True)}
    for question, count in {**right, "status:failed": (0, True)}.items():
        assert await database.read(run_pages.count, grammar.parse(question, life.NOW)) == run_pages.Count(
            *count
        ), question


@pytest.mark.anyio
async def test_pages_stay_as_they_are_while_runs_come_in(database: Database) -> None:
    made = [(await life.accepted(database)).id for _ in range(4)]
    page, cursor = await database.timed_read(run_pages.page, run_pages.Query(limit=2))
    await life.accepted(database)
    rest, _ = await database.timed_read(run_pages.page, run_pages.Query(limit=2, cursor=cursor))
    assert [run.id for run in (*page, *rest)] == made[::-1]


@pytest.mark.anyio
async def test_without_words_the_newest_are_most_relevant(database: Database) -> None:
    made = [(await life.accepted(database)).id for _ in range(3)]
    first, cursor = await database.timed_read(run_pages.page, run_pages.Query(sort="-relevance", limit=2))
    rest, _ = await database.timed_read(run_pages.page, run_pages.Query(sort="-relevance", limit=2, cursor=cursor))
    assert [run.id for run in (*first, *rest)] == made[::-1]


PARTS = st.sampled_from(
    [
        *(
            "status:failed",
            "-model:m*",
            "cost:>1..",
            "created:-7d",
            "has:tag.x",
            "tag.a:b",
            "tool:x",
            "OR",
            "lease",
        ),
        *('"a b"*', "(", ")", "-", '"', "tokens:1k..2k", "duration:0", "settled:2026-11-20", "settled_by:sweep"),
    ]
)
ORDERS = [f"{sign}{name}" for name in run_pages.SORTS for sign in ("", "-")] + [run_pages.RELEVANCE]


@given(
    question=st.lists(PARTS, max_size=12).map(" ".join) | st.text(st.characters(exclude_categories=["Cs"])),
    sort=st.sampled_from(ORDERS),
)
def test_any_query_is_answered_or_refused(scratch_url: str, question: str, sort: str) -> None:
    with scratch.connected(scratch_url) as connection, contextlib.suppress(errors.BadQuery):
        asked = run_pages.Query(grammar.parse(question, life.NOW), sort)
        assert run_pages.find(connection, asked, counted=True).total == run_pages.Count(0, exact=True)


def _endless(connection: Connection) -> None:
    forms = {
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "postgresql": "SELECT pg_sleep(60)",
    }
    connection.exec_driver_sql(forms[connection.dialect.name])


@pytest.mark.anyio
async def test_a_query_that_takes_too_long_is_ended_and_no_other_waits(database_url: str) -> None:
    async with Database(database_url, limits=Limits(timed_read_seconds=0.2)) as opened:
        with pytest.raises(errors.StatementTimeout, match=r"within 0.2 s"):
            await opened.timed_read(_endless)
        assert await opened.read(dialect.server_time) is None or database_url.startswith("postgresql")
        assert await opened.timed_read(run_pages.count, grammar.EVERYTHING) == run_pages.Count(0, exact=True)


_SHORT = select(literal(1).label("one"))
_PREPARED = Prepared(lambda _: _SHORT)


def _endless_by_parts(connection: Connection, is_prepared: bool) -> None:
    while True:
        _PREPARED.all(connection, {}) if is_prepared else connection.execute(_SHORT).all()
        time.sleep(0.01)


@pytest.mark.anyio
@pytest.mark.parametrize("is_prepared", [False, True])
async def test_many_short_statements_take_no_longer_than_one_long_one(
    is_prepared: bool, database_url: str
) -> None:
    async with Database(database_url, limits=Limits(timed_read_seconds=0.2)) as opened:
        with pytest.raises(errors.StatementTimeout, match=r"within 0.2 s"):
            await opened.timed_read(_endless_by_parts, is_prepared)
        assert await opened.timed_read(run_pages.count, grammar.EVERYTHING) == run_pages.Count(0, exact=True)


@pytest.mark.anyio
async def test_a_question_behind_slow_ones_is_refused_in_time(database_url: str) -> None:
    async with Database(
        database_url, timed_readers=1, limits=Limits(timed_read_seconds=0.2, queue_seconds=0.3)
    ) as opened:
        asked = [opened.timed_read(_endless) for _ in range(3)]
        first, *_, last = await asyncio.gather(*asked, return_exceptions=True)
        assert (type(first), type(last)) == (errors.StatementTimeout, errors.Busy)
        assert await opened.timed_read(lambda _: "free again") == "free again"


@pytest.mark.anyio
async def test_a_cursor_whose_value_no_row_of_its_order_can_have_is_refused(database: Database) -> None:
    wrong: list[tuple[str, str | int]] = [("cost", "much"), ("created", "soon"), ("-settled", 5)]
    for sort, value in wrong:
        cursor = str(cursors.Cursor(sort, value, 1))
        with pytest.raises(errors.BadCursor, match="not one of ours"):
            await _seqs(database, "", sort=sort, cursor=cursor)
