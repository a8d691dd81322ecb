"""Reviews of runs: what people say about a run that has ended."""

from __future__ import annotations

from receiver.schemas import json_rows
from receiver.schemas import reviews as shapes
from receiver.web import operations, run_ids
from receiver.web.authentication import Scope
from storage import ids
from storage.actions import reviews
from storage.engine import database
from storage.engine.database import Reader
from storage.query import run_lines
from storage.repositories import runs

Saying = operations.Call[None, shapes.NewReview]
Plain = operations.Call[None, None]

router = operations.Router("runs")


@router.operation(
    "GET",
    "/v1/runs/{id}/reviews",
    "What people said about a run",
    {200: shapes.Reviews},
    Scope.READ,
    reader=Reader.PLAIN,
)
def list_reviews(call: Plain, store: database.Snapshot) -> operations.Answer:
    """Answer with all reviews of a run, newest first."""
    run = run_ids.require_run(store.read(run_lines.find, call.ids["id"], ("id", "upstream_id")))
    rows = [_REVIEWS.values(each) for each in store.read(reviews.of_run, run.id)]
    return operations.Answer(200, _REVIEWS.page("reviews", rows, None))


@router.operation(
    "POST",
    "/v1/runs/{id}/reviews",
    "Review a run",
    {200: shapes.Review, 201: shapes.Review},
    Scope.SUBMIT,
    problems=(409,),
)
async def review_run(call: Saying) -> operations.Answer:
    """Record what the caller says about a run that has ended.

    What repeats the newest review, by the same caller, is that review: it is answered with 200.
    """
    named, body = call.ids["id"], call.body
    run = run_ids.require_exact_run(await call.database.read(runs.find, named), named)
    review = reviews.Review(ids.new(call.now), run.id, body.verdict, body.comment, call.caller.actor, call.now)
    stored = await call.database.write(reviews.add, review)
    return operations.Answer(201 if stored.id == review.id else 200, bytes(_REVIEWS.one(_REVIEWS.values(stored))))


_REVIEWS = json_rows.JsonRows(shapes.Review)
