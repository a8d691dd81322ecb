"""Following the feed: every change once, in order, and those of a question only once its words are indexed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, create_engine, update

from storage.engine.database import Database
from storage.ledger import entries
from storage.query import change_feed, grammar
from storage.query.change_feed import ChangeSelection
from storage.repositories import ledger_changes, runs
from storage.search import index
from storage.tables.ledger import LEDGER_ENTRIES
from tests import life

pytestmark = pytest.mark.anyio

ENTRY = entries.Entry(entries.Kind.RUN_STARTED, life.NOW, None, "worker")
OF_RUNS = ChangeSelection(runs_only=True)


def asking(question: str, **more: Any) -> ChangeSelection:
    return ChangeSelection(grammar.parse(question, life.NOW), **more)


async def numbered(database: Database) -> None:
    while await database.write(entries.number, 1000):
        pass


async def pages(
    database: Database, selection: ChangeSelection = OF_RUNS, number: int = -1, limit: int = 100
) -> list[change_feed.FeedPage]:
    """Read page after page, as long as there is more at once."""
    found = [await database.read(change_feed.read_page, number, selection, limit)]
    while found[-1].has_more:
        found.append(await database.read(change_feed.read_page, found[-1].number, selection, limit))
    return found


async def shown(
    database: Database, selection: ChangeSelection = OF_RUNS, number: int = -1
) -> list[tuple[str | None, str]]:
    return [(each.run_id, each.kind) for page in await pages(database, selection, number) for each in page.changes]


async def test_a_faster_reader_does_not_miss_a_late_commit(served: Database, server_url: str) -> None:
    engine = create_engine(server_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as slow, engine.connect() as fast:
        with slow.begin():
            entries.append(slow, [replace(ENTRY, actor="slow")])
            with fast.begin():
                entries.append(fast, [replace(ENTRY, actor="fast")])
            await numbered(served)
            (first,) = await pages(served, ChangeSelection())
        await numbered(served)
    engine.dispose()
    (second,) = await pages(served, ChangeSelection(), first.number)
    changes = [*first.changes, *second.changes]
    assert [(each.number, each.actor) for each in changes] == [(0, "fast"), (1, "slow")]
    assert (await pages(served, ChangeSelection()))[0].changes == changes


def place(connection: Connection, seq: int, actor: str) -> None:
    """An entry with a sequence number of its own, as if it had got that long before its commit."""
    entries.append(connection, [replace(ENTRY, actor=actor)])
    connection.execute(update(LEDGER_ENTRIES).where(LEDGER_ENTRIES.c.actor == actor).values(seq=seq))


async def test_numbers_follow_commits_and_not_the_order_of_writing(database: Database) -> None:
    number, changes = -1, list[ledger_changes.Change]()
    for seq in (70, 50, 90, 60):
        await database.write(place, seq, f"at {seq}")
        await numbered(database)
        (page,) = await pages(database, ChangeSelection(), number)
        changes += page.changes
        number = page.number
    assert [(each.number, each.actor) for each in changes] == [
        (0, "at 70"),
        (1, "at 50"),
        (2, "at 90"),
        (3, "at 60"),
    ]


async def test_page_by_page_every_change_is_shown_once(database: Database) -> None:
    for _ in range(3):
        await life.running(database)
    await numbered(database)
    for selection in (
        ChangeSelection(),
        OF_RUNS,
        asking("agent:agent_1"),
        ChangeSelection(kinds=frozenset(entries.Kind)),
    ):
        found = await pages(database, selection, limit=2)
        numbers = [each.number for page in found for each in page.changes]
        assert numbers == list(range(9))
        assert all(len(page.changes) <= 2 for page in found)


async def test_a_narrow_selection_passes_all_other_changes(database: Database) -> None:
    await database.write(entries.append, [ENTRY] * (2 * change_feed.SCAN_SIZE))
    run = await life.accepted(database)
    await numbered(database)
    found = await pages(database)
    assert [len(page.changes) for page in found] == [0, 0, 1]
    assert [page.number for page in found] == [499, 999, 1000]
    assert found[-1].changes[0].run_id == run.id


async def test_changes_are_of_runs_that_match_when_they_are_read(database: Database) -> None:
    run = await life.settled_run(database, tags={"matter": "7"})
    await life.accepted(database, tags={"matter": "7"})
    await life.settled_run(database)
    await database.write(entries.append, [replace(ENTRY, run_id=None)])
    await numbered(database)
    changes = await shown(database, asking("tag.matter:7 status:completed"))
    kinds = ["run.accepted", "run.created", "run.started", "run.completed"]
    assert changes == [(run.id, kind) for kind in kinds]
    only = asking("tag.matter:7 status:completed", kinds=frozenset({"run.completed"}))
    assert await shown(database, only) == [(run.id, "run.completed")]


async def test_a_selection_of_everything_has_the_changes_of_the_deployment(database: Database) -> None:
    await database.write(entries.append, [replace(ENTRY, kind=entries.Kind.KEY_CREATED)])
    await numbered(database)
    for selection, count in (
        (ChangeSelection(), 1),
        (ChangeSelection(kinds=frozenset({"key.created"})), 1),
        (OF_RUNS, 0),
        (asking("-agent:x"), 0),
    ):
        assert len(await shown(database, selection)) == count


async def test_a_position_at_the_end_of_the_feed_or_beyond_gets_that_end(database: Database) -> None:
    await database.write(entries.append, [ENTRY] * 3)
    await numbered(database)
    assert [(await pages(database, selection, 2))[0].last for selection in (ChangeSelection(), OF_RUNS)] == [2, 2]
    assert (await pages(database, ChangeSelection(), 9))[0] == change_feed.FeedPage(9, last=2)
    assert (await pages(database, ChangeSelection(), 1))[0].last is None


async def written(database: Database, *prompts: str) -> Sequence[runs.Run]:
    """Runs of these prompts, numbered and not indexed."""
    found = [await life.accepted(database, prompt=prompt) for prompt in prompts]
    await numbered(database)
    return found


@pytest.mark.parametrize("question", ["lease", "-absent", "(lease OR agent:nobody)", "lease status:accepted"])
async def test_a_question_with_words_gets_nothing_before_they_are_indexed(
    database: Database, question: str
) -> None:
    (run,) = await written(database, "Review the lease.")
    selection = asking(question)
    (page,) = await pages(database, selection)
    assert (list(page.changes), page.number, page.waiting_for_run) == ([], -1, run.id)
    await life.indexed(database)
    assert await shown(database, selection) == [(run.id, "run.accepted")]


@pytest.mark.parametrize(
    "question", ["lease agent:nobody", "-lease agent:nobody", "(lease OR rent) status:failed"]
)
async def test_words_that_decide_nothing_are_not_waited_for(database: Database, question: str) -> None:
    await written(database, "Review the lease.")
    (page,) = await pages(database, asking(question))
    assert (list(page.changes), page.number, page.waiting_for_run) == ([], 0, None)


async def test_changes_behind_a_run_that_is_not_indexed_wait_with_it(database: Database) -> None:
    first, second = await written(database, "A lease.", "Another lease.")
    waiting = await database.read(index.queued, 1)  # the newest
    assert await database.write(index.add, waiting) == 1
    (page,) = await pages(database, asking("lease"))
    assert (list(page.changes), page.waiting_for_run) == ([], first.id)
    await life.indexed(database)
    assert await shown(database, asking("lease")) == [(first.id, "run.accepted"), (second.id, "run.accepted")]


async def test_an_indexed_run_is_shown_before_one_that_is_not(database: Database) -> None:
    (first,) = await written(database, "A lease.")
    await life.indexed(database)
    (second,) = await written(database, "Another lease.")
    (page,) = await pages(database, asking("lease"))
    assert ([each.run_id for each in page.changes], page.number, page.waiting_for_run) == (
        [first.id],
        0,
        second.id,
    )
    await life.indexed(database)
    assert await shown(database, asking("lease"), page.number) == [(second.id, "run.accepted")]


async def test_words_that_a_run_says_only_at_its_end_are_waited_for(database: Database) -> None:
    run = await life.running(database)
    await life.indexed(database)
    await life.settle(database, run, life.result())
    await numbered(database)
    selection = asking("void", kinds=frozenset({"run.completed"}))
    (page,) = await pages(database, selection)
    assert (list(page.changes), page.waiting_for_run) == ([], run.id)
    await life.indexed(database)
    assert await shown(database, selection) == [(run.id, "run.completed")]


async def test_of_some_runs_those_that_match_are_found(database: Database) -> None:
    chosen = await life.accepted(database, tags={"matter": "7"})
    other = await life.accepted(database)
    await life.accepted(database, tags={"matter": "7"})
    wanted = grammar.parse("tag.matter:7", life.NOW)
    found = await database.read(change_feed.matching, wanted, [chosen.id, other.id])
    assert [(run.id, run.tags) for run in found.values()] == [(chosen.id, {"matter": "7"})]
    assert await database.read(change_feed.matching, wanted, []) == {}
