"""Commands about what people say about a run that has ended."""

from __future__ import annotations

from typing import Annotated

import typer

from receiver.api.proof import reviews as handlers
from receiver.cli import api_calls, event_loop, options, target
from receiver.cli.parameters import option
from receiver.cli.render import format as render_format
from receiver.cli.render import results, table
from receiver.cli.render.table import Column, Listing
from receiver.schemas import reviews as shapes
from storage import states

app = event_loop.commands()

REVIEWS: Listing[shapes.Review] = Listing(
    "Nobody has said anything about this run.",
    Column("at", lambda review: render_format.instant(review.at)),
    Column("verdict", lambda review: table.state(review.verdict)),
    Column("by", lambda review: review.by),
    Column("comment", lambda review: review.comment, 1, flexible=True),
)
Verdict = Annotated[
    str,
    typer.Argument(
        metavar="VERDICT",
        help=f"{options.one_of(states.ReviewVerdict)}.",
        show_default=False,
        autocompletion=options.completed(states.ReviewVerdict),
    ),
]


@app.command()
async def review(
    run: options.Run,
    verdict: Verdict,
    comment: Annotated[str | None, option("TEXT", "Why; a verdict `comment` needs it.")] = None,
    as_json: options.Json = False,
) -> None:
    """Approve, reject or comment on a run that has ended.

    The ledger records it as the operator's. A review that repeats the newest
    one is that one.

    \b
    Examples:
      runledger review run_01hx approved
      runledger review run_01hx rejected --comment "Clause 7 was not read."
    """
    body = api_calls.body(shapes.NewReview, {"verdict": verdict, "comment": comment})
    async with target.opened() as store:
        found = await api_calls.ask(store, handlers.review_run, shapes.Review, path_id=run, body=body)
    results.one(found, lambda each: print(f"{each.run_id}: {each.verdict} by {each.by}."), as_json=as_json)


@app.command()
async def reviews(run: options.Run, as_json: options.Json = False) -> None:
    """List what was said about a run, newest first.

    \b
    Example:
      runledger reviews run_01hx
    """
    async with target.opened() as store:
        found = await api_calls.ask(store, handlers.list_reviews, shapes.Reviews, path_id=run)
    results.rows(found.reviews, REVIEWS, as_json=as_json)
