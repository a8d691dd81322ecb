"""Legal holds: what they cover, and that they beat a removal, however close the two come."""

from __future__ import annotations

from typing import Any

import pytest

from storage import errors, ids, states
from storage.engine.database import Database
from storage.query import grammar
from storage.retention import erasing, holds
from storage.transitions import submitting
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio

RUN, TAG, QUESTION = states.HoldScope.RUN, states.HoldScope.TAG, states.HoldScope.QUESTION
LATER = life.at(2000)


def hold(scope: states.HoldScope, target: str, **more: Any) -> holds.Hold:
    """A hold as an operator places it."""
    values: dict[str, Any] = {"reason": "Litigation 7", "placed_by": "key:ops", "placed_at": life.at(100)}
    return holds.Hold(id=ids.new(life.at(100)), scope=scope, target=target, **values | more)


async def place(database: Database, scope: states.HoldScope, target: str, **more: Any) -> holds.Hold:
    return await database.write(holds.place, hold(scope, target, **more))


async def pruned(database: Database) -> int:
    return (await database.write(erasing.erase, grammar.EVERYTHING, life.OLD, LATER)).runs


async def test_a_hold_keeps_what_it_covers_and_nothing_else(database: Database, subtests: pytest.Subtests) -> None:
    for scope in states.HoldScope:
        with subtests.test(scope.value):
            run = await life.settled_run(database, tags={"matter": "7"})
            await life.settled_run(database, tags={"matter": "8"})
            target = {RUN: run.id, TAG: "matter=7", QUESTION: "tag.matter:7 status:completed"}[scope]
            placed = await place(database, scope, target)
            assert await pruned(database) == 1
            found = await database.read(erasing.survey, grammar.EVERYTHING)
            assert (found.runs, found.held) == (0, 1)
            await database.write(holds.release, placed.id, "operator", life.at(200))
            assert await pruned(database) == 1


async def test_a_run_that_gets_the_tag_later_is_covered_too(database: Database) -> None:
    run = await life.settled_run(database)
    await place(database, TAG, "matter=7")
    await database.write(submitting.change_tags, run.id, {"matter": "7"}, "operator", life.at(150))
    assert await pruned(database) == 0


async def test_words_cover_a_run_that_is_not_in_the_index_yet(database: Database) -> None:
    run = await life.settled_run(database, prompt="Read the unmistakable lease.")
    await life.settled_run(database, prompt="Another.")
    await place(database, QUESTION, "unmistakable")
    assert await pruned(database) == 0
    await life.indexed(database)
    assert await pruned(database) == 1
    assert (await life.get_run(database, run.id)).pruned_at is None


async def test_an_age_counts_from_the_placing(database: Database) -> None:
    await life.settled_run(database)
    await place(database, QUESTION, "settled:>-1d", placed_at=life.at(100))
    assert await pruned(database) == 0
    await place(database, QUESTION, "settled:<-1d", placed_at=life.at(100))
    assert (await database.write(erasing.erase, grammar.EVERYTHING, life.OLD, life.at(9_000_000))).runs == 0


async def test_both_ends_of_a_hold_are_in_the_ledger_and_its_question_only_as_a_digest(database: Database) -> None:
    run = await life.settled_run(database)
    of_run = await place(database, RUN, run.id)
    of_tag = await place(database, TAG, "client=tidewater")
    await database.write(holds.release, of_tag.id, "operator", life.at(200))
    assert (await ledgers.entries(database, run.id))[-1].facts == {
        "holdId": of_run.id, "scope": "run", "reason": "Litigation 7"
    }  # fmt: skip
    placed, released = (await ledgers.entries(database, None))[-2:]
    assert (placed.kind, placed.actor, released.kind, released.actor) == (
        "hold.placed", "key:ops", "hold.released", "operator"
    )  # fmt: skip
    assert placed.proves("question", b"client=tidewater")
    assert b"tidewater" not in repr(placed.facts).encode()


async def test_a_hold_that_is_placed_or_released_twice_is_one(database: Database) -> None:
    same = hold(TAG, "a=b")
    assert await database.write(holds.place, same) == await database.write(holds.place, same) == same
    released = await database.write(holds.release, same.id, "operator", life.at(200))
    assert await database.write(holds.release, same.id, "key:other", life.at(300)) == released
    assert await database.write(holds.release, "none", "operator", life.at(200)) is None
    assert [each.kind for each in await ledgers.entries(database, None)] == ["hold.placed", "hold.released"]


async def test_open_holds_are_bounded_and_listed_newest_first(database: Database) -> None:
    placed = [await place(database, QUESTION, "status:failed") for _ in range(holds.MOST[QUESTION])]
    with pytest.raises(errors.TooManyHolds):
        await place(database, QUESTION, "status:failed")
    await database.write(holds.release, placed[0].id, "operator", life.at(200))
    first, cursor = await database.read(holds.page, 40, only_open=True)
    rest, end = await database.read(holds.page, 40, cursor, only_open=True)
    assert ([each.id for each in first + rest], end) == (
        sorted((each.id for each in placed[1:]), reverse=True),
        None,
    )


async def test_a_question_that_cannot_be_asked_is_refused(database: Database) -> None:
    for wrong, error in (("statuz:failed", errors.BadQuery), ("(", errors.BadQuery), ("cost:x", errors.BadQuery)):
        with pytest.raises(error):
            await place(database, QUESTION, wrong)


async def test_all_holds_that_cover_a_run_are_named(database: Database) -> None:
    run = await life.settled_run(database, tags={"matter": "7"})
    named = [await place(database, *each) for each in ((RUN, run.id), (TAG, "matter=7"), (QUESTION, "has:output"))]
    await place(database, TAG, "matter=8")
    found = await database.read(holds.covering, run.seq)
    assert {each.id for each in found} == {each.id for each in named}
