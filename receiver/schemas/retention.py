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
from storage.retention import contents

#: A reason stays in the ledger for ever.
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
            raise ValueError("write the tag as key=value" if scope is states.HoldScope.TAG else "is not an id")
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


#: What no erasure reaches.
OUTSIDE = (
    "exports, receipts and evidence that were made before",
    "backups and other copies of the database",
    "on PostgreSQL the archived write-ahead log, and old rows until VACUUM",
    "what Case.dev and the backend keep",
    "runs that were run again from it: they are runs of their own",
)
#: What can be chosen to be erased.
Choice = Literal[
    "prompt",
    "guidance",
    "instructions",
    "objectIds",
    "output",
    "summary",
    "failureReason",
    "tags",
    "comment",
]


class ErasureRequest(Request):
    """What is to be erased of a run, and why."""

    reason: Reason
    fields: Annotated[list[Choice], Field(min_length=1, max_length=len(contents.CHOICES))] | None = Field(
        None,
        description="The texts that go, all but `tags` and `comment` (the comments of reviews) where none are "
        "named. What may repeat a text goes with whichever is named: steps, documents, events, details of usage, "
        "bodies and headers of deliveries, the notification, words in the index.",
    )
    dry_run: bool = Field(False, description="Only report what would be removed, and what forbids it.")

    @property
    def chosen(self) -> frozenset[states.Content]:
        """Return what is to be erased."""
        return contents.USUAL if self.fields is None else frozenset(map(states.Content, self.fields))


class Refusal(responses.Answer):
    """Why nothing of a run can be removed now."""

    run_id: str
    reason: str


class ErasedRows(responses.Answer):
    """How many rows lost their content."""

    steps: int = 0
    documents: int = 0
    events: int = 0
    deliveries: int = 0


class Erasure(responses.Answer):
    """What was erased, or with `dryRun` what would be."""

    dry_run: bool
    runs: int = Field(description="0 where nothing is left to remove.")
    fields: Sequence[states.Content] = Field(
        description="What was there and is removed now; in a dry run what was chosen."
    )
    rows: ErasedRows
    refused: Sequence[Refusal] = Field(description="In a dry run: what forbids the erasure.")
    is_overwritten: bool | None = Field(
        description="Whether the bytes are gone from the files of an embedded database; null in a dry run, and on "
        "PostgreSQL, where VACUUM decides that."
    )
    outside: Sequence[str] = Field(description="What this erasure does not reach.")
