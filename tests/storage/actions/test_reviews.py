"""Reviews: who may be judged, what counts once, what the ledger has."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from storage import bounds, errors, ids
from storage.actions import reviews
from storage.engine.database import Database
from storage.query import grammar
from storage.repositories import runs
from storage.retention import erasing
from storage.states import Judgement
from storage.states import ReviewVerdict as Verdict
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio


def review(run: runs.Run, verdict: Verdict = Verdict.APPROVED, **changes: Any) -> reviews.Review:
    values = {"comment": None, "by": "key:anna", "at": life.at(100), **changes}
    return reviews.Review(ids.new(life.at(100)), run.id, verdict, **values)


async def judgement(database: Database, run: runs.Run) -> Judgement | None:
    found = await database.read(runs.find, run.id)
    assert found is not None
    return found.review


async def test_reviews_stand_beside_each_other_newest_first(database: Database) -> None:
    run = await life.settled_run(database)
    said = [review(run), review(run, Verdict.REJECTED, comment="Clause 7."), review(run, by="key:ben")]
    for each in said:
        assert await database.write(reviews.add, each) == each
    assert await database.read(reviews.of_run, run.id) == said[::-1]


async def test_the_newest_judgement_is_that_of_the_run_and_a_comment_leaves_it(database: Database) -> None:
    run = await life.settled_run(database)
    assert await judgement(database, run) is None
    for verdict, expected in (
        (Verdict.COMMENT, None),
        (Verdict.APPROVED, Judgement.APPROVED),
        (Verdict.REJECTED, Judgement.REJECTED),
        (Verdict.COMMENT, Judgement.REJECTED),
    ):
        await database.write(reviews.add, review(run, verdict, comment=f"{verdict} {expected}"))
        assert await judgement(database, run) is expected


async def test_what_is_said_twice_at_once_counts_once(database: Database) -> None:
    run = await life.settled_run(database)
    twice = [database.write(reviews.add, review(run, comment="Good.")) for _ in range(2)]
    first, second = await asyncio.gather(*twice)
    assert first == second
    assert await database.read(reviews.of_run, run.id) == [first]
    assert (await life.ledger_kinds(database, run.id)).count("run.reviewed") == 1


async def test_what_another_key_says_or_what_was_said_before_the_newest_counts(database: Database) -> None:
    run = await life.settled_run(database)
    for each in (review(run), review(run, by="key:ben"), review(run), review(run, comment="Good.")):
        await database.write(reviews.add, each)
    assert len(await database.read(reviews.of_run, run.id)) == 4


async def test_a_run_that_goes_on_is_not_reviewed(database: Database) -> None:
    run = await life.running(database)
    with pytest.raises(errors.NotSettled, match="is running: it can be reviewed once it has ended"):
        await database.write(reviews.add, review(run))
    assert await database.read(reviews.of_run, run.id) == []


async def test_a_run_has_at_most_the_allowed_reviews(database: Database) -> None:
    run = await life.settled_run(database)
    for number in range(bounds.REVIEWS):
        await database.write(reviews.add, review(run, comment=str(number)))
    with pytest.raises(errors.TooManyReviews, match="has 200 reviews"):
        await database.write(reviews.add, review(run))


async def test_the_ledger_proves_a_comment_without_having_it(database: Database) -> None:
    run = await life.settled_run(database)
    made = await database.write(reviews.add, review(run, Verdict.REJECTED, comment="Prüfe §7."))
    entry = await ledgers.last(database, run.id)
    assert (entry.kind, entry.actor) == ("run.reviewed", "key:anna")
    assert entry.facts == {"reviewId": made.id, "verdict": "rejected", "by": "key:anna"}
    assert entry.proves("comment", "Prüfe §7.".encode())


async def test_pruning_keeps_reviews_and_their_proof(database: Database) -> None:
    run = await life.settled_run(database)
    made = await database.write(reviews.add, review(run, comment="Good."))
    await database.write(erasing.erase, grammar.EVERYTHING, life.OLD, life.at(1000))
    assert await database.read(reviews.of_run, run.id) == [made]
    proofs = [each for each in await ledgers.entries(database, run.id) if each.kind == "run.reviewed"]
    assert proofs[0].proves("comment", b"Good.")
