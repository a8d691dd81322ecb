"""Following the feed: every change once, in order, and those of a question only once it can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, update

from storage import changes, filters, following, ledger, runs, search
from storage.database import Database
from storage.following import Wish
from storage.tables import LEDGER_ENTRIES
from tests import life

pytestmark = pytest.mark.anyio

ENTRY = ledger.Entry(ledger.Kind.RUN_STARTED, life.NOW, None, "worker")
OF_RUNS = Wish(of_runs=True)


def asking(question: str, **more: Any) -> Wish:
    return Wish(filters.parse(question, life.NOW), **more)


async def numbered(database: Database) -> None:
    while await database.write(ledger.number, 1000):
        pass


async def looks(
    database: Database, wish: Wish = OF_RUNS, number: int = -1, limit: int = 100
) -> list[following.Look]:
    """One look after the other, as long as there is more at once."""
    found = [await database.read(following.look, number, wish, limit)]
    while found[-1].has_more:
        found.append(await database.read(following.look, found[-1].number, wish, limit))
    return found


async def shown(database: Database, wish: Wish = OF_RUNS, number: int = -1) -> list[tuple[str | None, str]]:
    return [(each.run_id, each.kind) for look in await looks(database, wish, number) for each in look.shown]


async def test_what_commits_late_is_not_missed_by_who_was_faster(served: Database, server_url: str) -> None:
    engine = create_engine(server_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as slow, engine.connect() as fast:
        with slow.begin():
            ledger.append(slow, [replace(ENTRY, actor="slow")])
            with fast.begin():
                ledger.append(fast, [replace(ENTRY, actor="fast")])
            await numbered(served)
            (first,) = await looks(served, Wish())
        await numbered(served)
    engine.dispose()
    (second,) = await looks(served, Wish(), first.number)
    told = [*first.shown, *second.shown]
    assert [(each.number, each.actor) for each in told] == [(0, "fast"), (1, "slow")]
    assert (await looks(served, Wish()))[0].shown == told


def place(connection: Connection, seq: int, actor: str) -> None:
    """An entry with a sequence number of its own, as if it had got that long before its commit."""
    ledger.append(connection, [replace(ENTRY, actor=actor)])
    connection.execute(update(LEDGER_ENTRIES).where(LEDGER_ENTRIES.c.actor == actor).values(seq=seq))


async def test_numbers_follow_commits_and_not_the_order_of_writing(database: Database) -> None:
    number, told = -1, list[changes.Change]()
    for seq in (70, 50, 90, 60):
        await database.write(place, seq, f"at {seq}")
        await numbered(database)
        (look,) = await looks(database, Wish(), number)
        told += look.shown
        number = look.number
    assert [(each.number, each.actor) for each in told] == [(0, "at 70"), (1, "at 50"), (2, "at 90"), (3, "at 60")]


async def test_a_page_after_the_other_tells_everything_once(database: Database) -> None:
    for _ in range(3):
        await life.running(database)
    await numbered(database)
    for wish in (Wish(), OF_RUNS, asking("agent:agent_1"), Wish(kinds=frozenset(ledger.Kind))):
        found = await looks(database, wish, limit=2)
        numbers = [each.number for look in found for each in look.shown]
        assert numbers == list(range(9))
        assert all(len(look.shown) <= 2 for look in found)


async def test_who_wants_few_comes_by_all_the_others(database: Database) -> None:
    await database.write(ledger.append, [ENTRY] * (2 * following.SCANNED))
    run = await life.accepted(database)
    await numbered(database)
    found = await looks(database)
    assert [len(look.shown) for look in found] == [0, 0, 1]
    assert [look.number for look in found] == [499, 999, 1000]
    assert found[-1].shown[0].run_id == run.id


async def test_changes_are_of_runs_that_are_wanted_when_they_are_looked_at(database: Database) -> None:
    run = await life.settled_run(database, tags={"matter": "7"})
    await life.accepted(database, tags={"matter": "7"})
    await life.settled_run(database)
    await database.write(ledger.append, [replace(ENTRY, run_id=None)])
    await numbered(database)
    told = await shown(database, asking("tag.matter:7 status:completed"))
    kinds = ["run.accepted", "run.created", "run.started", "run.completed"]
    assert told == [(run.id, kind) for kind in kinds]
    only = asking("tag.matter:7 status:completed", kinds=frozenset({"run.completed"}))
    assert await shown(database, only) == [(run.id, "run.completed")]


async def test_a_change_of_the_house_is_told_to_who_wants_everything(database: Database) -> None:
    await database.write(ledger.append, [replace(ENTRY, kind=ledger.Kind.KEY_CREATED)])
    await numbered(database)
    for wish, count in (
        (Wish(), 1),
        (Wish(kinds=frozenset({"key.created"})), 1),
        (OF_RUNS, 0),
        (asking("-agent:x"), 0),
    ):
        assert len(await shown(database, wish)) == count


async def test_the_end_of_the_feed_is_told_to_who_stands_there_or_beyond(database: Database) -> None:
    await database.write(ledger.append, [ENTRY] * 3)
    await numbered(database)
    assert [(await looks(database, wish, 2))[0].last for wish in (Wish(), OF_RUNS)] == [2, 2]
    assert (await looks(database, Wish(), 9))[0] == following.Look(9, last=2)
    assert (await looks(database, Wish(), 1))[0].last is None


async def written(database: Database, *prompts: str) -> Sequence[runs.Run]:
    """Runs of these prompts, numbered and not indexed."""
    found = [await life.accepted(database, prompt=prompt) for prompt in prompts]
    await numbered(database)
    return found


@pytest.mark.parametrize("question", ["lease", "-absent", "(lease OR agent:nobody)", "lease status:accepted"])
async def test_who_asks_for_words_is_told_nothing_before_they_are_known(database: Database, question: str) -> None:
    (run,) = await written(database, "Review the lease.")
    wish = asking(question)
    (look,) = await looks(database, wish)
    assert (list(look.shown), look.number, look.waits_for) == ([], -1, run.id)
    await life.indexed(database)
    assert await shown(database, wish) == [(run.id, "run.accepted")]


@pytest.mark.parametrize(
    "question", ["lease agent:nobody", "-lease agent:nobody", "(lease OR rent) status:failed"]
)
async def test_nobody_waits_for_words_that_decide_nothing(database: Database, question: str) -> None:
    await written(database, "Review the lease.")
    (look,) = await looks(database, asking(question))
    assert (list(look.shown), look.number, look.waits_for) == ([], 0, None)


async def test_what_comes_behind_an_unknown_run_waits_with_it(database: Database) -> None:
    first, second = await written(database, "A lease.", "Another lease.")
    waiting = await database.read(search.waiting, 1)  # the newest
    assert await database.write(search.index, waiting) == 1
    (look,) = await looks(database, asking("lease"))
    assert (list(look.shown), look.waits_for) == ([], first.id)
    await life.indexed(database)
    assert await shown(database, asking("lease")) == [(first.id, "run.accepted"), (second.id, "run.accepted")]


async def test_a_known_run_is_told_before_an_unknown_one(database: Database) -> None:
    (first,) = await written(database, "A lease.")
    await life.indexed(database)
    (second,) = await written(database, "Another lease.")
    (look,) = await looks(database, asking("lease"))
    assert ([each.run_id for each in look.shown], look.number, look.waits_for) == ([first.id], 0, second.id)
    await life.indexed(database)
    assert await shown(database, asking("lease"), look.number) == [(second.id, "run.accepted")]


async def test_words_that_a_run_says_only_at_its_end_are_waited_for(database: Database) -> None:
    run = await life.running(database)
    await life.indexed(database)
    await life.settle(database, run, life.result())
    await numbered(database)
    wish = asking("void", kinds=frozenset({"run.completed"}))
    (look,) = await looks(database, wish)
    assert (list(look.shown), look.waits_for) == ([], run.id)
    await life.indexed(database)
    assert await shown(database, wish) == [(run.id, "run.completed")]
