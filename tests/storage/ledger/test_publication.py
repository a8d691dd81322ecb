"""Nothing is signed by a store that lacks a checkpoint which was published."""

from __future__ import annotations

from functools import partial

import pytest

from storage import errors
from storage.engine.database import Database
from storage.ledger import checkpoints, entries, publication
from storage.transitions import restoring
from tests import life

pytestmark = pytest.mark.anyio
ORIGIN, ENTRY = "runledger.test/ledger", entries.Entry(entries.Kind.RUN_STARTED, life.NOW, None, "worker")
FIRST, SECOND = f"{publication.WITNESS}one", f"{publication.WITNESS}two"


async def sign(database: Database, second: float, needed: int = 0, origin: str = ORIGIN) -> int | None:
    """Append an entry and sign; return the size of the checkpoint."""
    await database.write(entries.append, [ENTRY])
    await database.write(entries.number, 10)
    require = partial(publication.require_newest, origin=origin, needed=needed)
    at, lines = life.at(second), lambda _: ["a line"]
    made = await database.write(checkpoints.sign_next, origin, lines, at, require=require)
    return None if made is None else made.size


async def test_a_checkpoint_of_more_entries_or_of_others_is_not_of_this_store(database: Database) -> None:
    await sign(database, 1)
    made = await database.read(checkpoints.newest)
    assert made is not None
    assert await database.read(publication.difference, 1, made.root) is None
    assert "has signed 1: it is an older copy" in (await database.read(publication.difference, 2, made.root) or "")
    assert "another history" in (await database.read(publication.difference, 1, b"x" * 32) or "")


async def test_a_place_with_a_newer_checkpoint_stops_the_signing_of_that_origin(database: Database) -> None:
    await database.write(publication.failed, publication.FOLDER, ORIGIN, "is newer", life.NOW, halts=True)
    with pytest.raises(errors.HistoryChanged, match="the folder is newer"):
        await sign(database, 1)
    assert await sign(database, 2, origin="another/ledger") == 2


async def test_a_problem_that_is_no_newer_checkpoint_stops_nothing(database: Database) -> None:
    await database.write(publication.failed, publication.FOLDER, ORIGIN, "cannot be used", life.NOW)
    assert await sign(database, 1) == 1


async def test_a_restored_copy_is_signed_once_enough_witnesses_have_answered(
    database: Database,
) -> None:
    await sign(database, 1)
    await database.write(publication.reached, FIRST, ORIGIN, 1, life.at(2))
    await database.write(restoring.mark_restored, life.at(3))
    with pytest.raises(errors.HistoryChanged, match="0 of the 2 witnesses that are needed"):
        await sign(database, 4, needed=2)
    for subject in (FIRST, SECOND):
        await database.write(publication.reached, subject, ORIGIN, 1, life.at(5))
    assert await sign(database, 6, needed=2) == 4


async def test_a_problem_keeps_when_it_began_and_what_was_there_before(database: Database) -> None:
    await database.write(publication.reached, FIRST, ORIGIN, 7, life.at(1))
    for second in (2, 3):
        await database.write(publication.failed, FIRST, ORIGIN, "is away", life.at(second))
    (found,) = await database.read(publication.read)
    assert (found.witness, found.size, found.reached_at, found.since) == ("one", 7, life.at(1), life.at(2))
    await database.write(publication.keep, [])
    assert await database.read(publication.read) == []
