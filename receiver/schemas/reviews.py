"""The bodies and answers about reviews of runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, ValidationInfo, field_validator
from pydantic.config import JsonDict

from receiver.schemas.bodies import Request
from receiver.schemas.responses import Answer, Instant, Page
from receiver.schemas.text_types import Text
from storage import bounds, states

#: The rule of `_said`, for the OpenAPI description.
_SAID: JsonDict = {
    "oneOf": [
        {"properties": {"verdict": {"enum": ["approved", "rejected"]}}},
        {
            "required": ["comment"],
            "properties": {"verdict": {"enum": ["comment"]}, "comment": {"type": "string"}},
        },
    ]
}


class NewReview(Request):
    """What a person says about a run that has ended."""

    model_config = ConfigDict(json_schema_extra=_SAID)

    verdict: Annotated[states.ReviewVerdict, Field(strict=False)]
    comment: Annotated[Text, Field(min_length=1, max_length=bounds.COMMENT)] | None = Field(
        None, validate_default=True, description="Why; required for the verdict `comment`."
    )

    @field_validator("comment")
    @classmethod
    def _said(cls, comment: str | None, others: ValidationInfo) -> str | None:
        if comment is None and others.data.get("verdict") is states.ReviewVerdict.COMMENT:
            raise ValueError("is required for the verdict `comment`")
        return comment


class Review(Answer):
    """What a person said about a run: `by` is `key:<name>`, or `operator` for a command on the server."""

    id: str
    run_id: str
    verdict: states.ReviewVerdict
    comment: str | None = Field(description="Null where there is none, or where it was erased.")
    by: str
    at: Instant


class Reviews(Page):
    """All reviews of a run, newest first."""

    reviews: list[Review]
