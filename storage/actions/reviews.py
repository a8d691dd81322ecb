"""Reviews: what people say about runs that have ended, approved, rejected or only a comment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import Connection, select

from storage import bounds, errors, merkle, states
from storage.ledger import entries
from storage.repositories import runs
from storage.tables import declare
from storage.tables.runs import RUN_REVIEWS, RUNS

#: What the judgement on a run is after a review; a comment leaves it.
_JUDGEMENTS: Mapping[states.ReviewVerdict, states.Judgement] = {
    states.ReviewVerdict.APPROVED: states.Judgement.APPROVED,
    states.ReviewVerdict.REJECTED: states.Judgement.REJECTED,
}


@dataclass(frozen=True, slots=True)
class Review:
    """A row of `run_reviews`. `by` is the actor of the ledger; an erased comment is None."""

    id: str
    run_id: str
    verdict: states.ReviewVerdict
    comment: str | None
    by: str
    at: datetime

    @property
    def _said(self) -> tuple[str, str | None, str]:
        return self.verdict, self.comment, self.by

    def repeats(self, other: Review) -> bool:
        """Return whether this says what the other one says, by the same actor."""
        return self._said == other._said


def add(connection: Connection, review: Review) -> Review:
    """Add a review of a run, which exists; return it, or the newest one where it only repeats that.

    Raises NotSettled, TooManyReviews.
    """
    run = runs.lock(connection, review.run_id)
    if not run.is_terminal:
        raise errors.NotSettled(f"run {run.id} is {run.status}: it can be reviewed once it has ended")
    known = of_run(connection, run.id)
    if known and review.repeats(known[0]):  # a form that was sent twice, or an earlier try of this call
        return known[0]
    if len(known) >= bounds.REVIEWS:
        raise errors.TooManyReviews(f"run {run.id} has {bounds.REVIEWS} reviews, and no run has more")
    connection.execute(RUN_REVIEWS.insert(), declare.row(RUN_REVIEWS, review))
    if review.verdict in _JUDGEMENTS:
        runs.update(connection, RUNS.c.id == run.id, {"review": _JUDGEMENTS[review.verdict].value})
    entries.append(connection, [_entry(review)])
    return review


def of_run(connection: Connection, run_id: str) -> list[Review]:
    """Return the reviews of a run, newest first."""
    of_it = _ALL.where(RUN_REVIEWS.c.run_id == run_id).order_by(RUN_REVIEWS.c.seq.desc())
    return [
        Review(row.id, row.run_id, states.read(states.ReviewVerdict, row.verdict), row.comment, row.by, row.at)
        for row in connection.execute(of_it)
    ]


def _entry(review: Review) -> entries.Entry:
    facts = {"reviewId": review.id, "verdict": review.verdict.value, "by": review.by}
    digests = merkle.salted_digest("comment", review.comment)
    return entries.Entry(entries.Kind.RUN_REVIEWED, review.at, review.run_id, review.by, facts, digests)


_ALL = select(*(RUN_REVIEWS.c[each.name] for each in fields(Review)))
