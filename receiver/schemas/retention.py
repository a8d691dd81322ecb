"""Bodies and answers about legal holds and erasure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator
from pydantic.config import JsonDict

from receiver.schemas import responses
from receiver.schemas.bodies import Request
from receiver.schemas.query_parameters import Cursor, Limit, Query
from receiver.schemas.text_types import Text
from storage import states
from storage.query import grammar

#: A reason stands in the ledger for ever.
Reason = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=500,
        description="Why. It stays in the ledger for ever, so it should name a case or a rule, and no person.",
    ),
]
_FORMS = {
    states.HoldScope.RUN: r"^[A-Za-z0-9_-]{1,128}$",
    states.HoldScope.TAG: r"^[A-Za-z0-9_.-]{1,64}=[^\x00]{0,256}$",
    #: This covers only a part of the filter language; it serves programs that generate requests.
    states.HoldScope.QUESTION: r"^(status:failed|cost:>1|tag\.[a-z]{1,8}:[a-z0-9]{1,8})$",
}


def _forms() -> JsonDict:
    """Return the rule of `_fits`, for the OpenAPI description."""
    forms = [{"scope": {"enum": [scope.value]}, "target": {"pattern": form}} for scope, form in _FORMS.items()]
    return {"oneOf": [{"properties": each} for each in forms]}  # type: ignore[dict-item]


class NewHold(Request):
    """A legal hold to be placed."""

    model_config = ConfigDict(json_schema_extra=_forms())

    scope: Annotated[states.HoldScope, Field(strict=False)] = Field(description="What `target` names.")
    target: Annotated[Text, Field(min_length=1, max_length=grammar.MAX_LENGTH)] = Field(
        description="A run by either id, a tag as `key=value`, or a question in the filter language, in which "
        "ages count from now."
    )
    reason: Reason

    @field_validator("target")
    @classmethod
    def _fits(cls, target: str, others: ValidationInfo) -> str:
        scope = others.data.get("scope")
        if scope in (states.HoldScope.RUN, states.HoldScope.TAG) and re.search(_FORMS[scope], target) is None:
            raise ValueError("is not a tag as key=value" if scope is states.HoldScope.TAG else "is not an id")
        return target


class Hold(responses.Answer):
    """A legal hold: what it covers is neither erased nor removed by age, until it is released."""

    id: str
    scope: states.HoldScope
    target: str
    reason: str
    placed_by: str = Field(description="As in the ledger: `key:<name>` or `operator`.")
    placed_at: responses.Instant
    released_by: str | None
    released_at: responses.Instant | None


class Holds(responses.Page):
    """A page of holds, newest first."""

    holds: Sequence[Hold]


class HoldQuery(Query):
    """A page of holds."""

    state: Annotated[Literal["open", "all"], Field(description="Whether released ones are listed too.")] = "open"
    limit: Limit = 50
    cursor: Cursor | None = None
