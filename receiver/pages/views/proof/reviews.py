"""The form by which people say what they think of a run that has ended."""

from __future__ import annotations

from pydantic import ValidationError
from starlette.responses import Response

from receiver.pages import requests
from receiver.pages.views.runs import run as run_page
from receiver.schemas import reviews as shapes
from receiver.web import run_ids
from receiver.web.authentication import Scope
from storage import bounds, ids
from storage.actions import reviews
from storage.repositories import runs

router = requests.Router()
BAD_REVIEW = f"A comment alone needs a text; a comment has at most {bounds.COMMENT:,} characters."


@router.page("POST", "/runs/{id}/reviews", Scope.SUBMIT)
async def review(given: requests.PageRequest) -> Response:
    """Record what the form says; one that was sent twice counts once."""
    named, text = given.ids["id"], given.field("comment").replace("\r\n", "\n").strip()
    run = run_ids.require_exact_run(await given.database.read(runs.find, named), named)
    try:
        said = shapes.NewReview.model_validate({"verdict": given.field("verdict"), "comment": text or None})
    except ValidationError:
        values = await run_page.read(given, "reviews")
        return given.page("run/page.html", 422, **(values | {"fault": BAD_REVIEW, "written": text}))
    made = reviews.Review(ids.new(given.now), run.id, said.verdict, said.comment, given.caller.actor, given.now)
    await given.database.write(reviews.add, made)
    return given.redirect(given.url(f"/runs/{run.id}", {"tab": "reviews"}), "Your review is recorded.")
