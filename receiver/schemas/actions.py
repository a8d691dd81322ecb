"""Bodies and answers about bulk actions and saved views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic.config import JsonDict, JsonValue

from receiver.schemas.bodies import ChangedTags, Request
from receiver.schemas.responses import Answer, Instant, Page
from receiver.schemas.text_types import Id, Text, storable
from storage import states
from storage.actions import bulk
from storage.query import grammar

#: The most runs that a bulk action may list.
LISTED = 1000
_CONTROL = r"\x00-\x1f\x7f"
ViewName = Annotated[
    str,
    StringConstraints(pattern=rf"^[^\s{_CONTROL}]([^{_CONTROL}]*[^\s{_CONTROL}])?$", max_length=100),
    AfterValidator(storable),
]


_TERM = r"(status:failed|cost:>1|tag\.[a-z]{1,8}:[a-z0-9]{1,8})"
#: The pattern covers only a part of the filter language; it serves programs that generate requests.
BulkQuestion = Annotated[
    str,
    Field(max_length=grammar.MAX_LENGTH),
    AfterValidator(storable),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^({_TERM}( {_TERM}){{0,2}})?$",
            "examples": ["status:failed cost:>0.50"],
        }
    ),
]


_TEXT: JsonDict = {"type": "string"}
_NULL: JsonDict = {"type": "null"}
_GIVEN: JsonDict = {"not": _NULL}
_TEXTS: JsonDict = {"type": "array", "items": _TEXT}


def _alternatives() -> Iterator[JsonDict]:
    """Yield the rules of the validators below, for the OpenAPI description."""
    others: list[JsonValue] = [each.value for each in states.BulkKind if each is not states.BulkKind.TAG]
    tagged: list[JsonValue] = [states.BulkKind.TAG.value]
    for source, shape, other in (("q", _TEXT, "runIds"), ("runIds", _TEXTS, "q")):
        for actions, tags in ((others, _NULL), (tagged, _GIVEN)):
            required: list[JsonValue] = [source, *(["tags"] if actions is tagged else [])]
            yield {
                "required": required,
                "properties": {
                    source: shape,
                    other: _NULL,
                    "action": {"enum": actions},
                    "tags": tags,
                },
            }


class BulkRequest(Request):
    """An action on many runs: on those that are listed, or on all that match a question."""

    model_config = ConfigDict(json_schema_extra={"oneOf": list(_alternatives())})

    action: Annotated[states.BulkKind, Field(strict=False)]
    q: BulkQuestion | None = Field(
        None, description="A filter in the filter language; an empty one matches every run."
    )
    run_ids: Annotated[list[Id], Field(min_length=1, max_length=LISTED, fail_fast=True)] | None = Field(
        None, validate_default=True, description="The runs, by either id, in place of `q`."
    )
    tags: ChangedTags | None = Field(
        None, validate_default=True, description="For the action `tag`: the tags to set; null removes one."
    )
    dry_run: bool = Field(False, description="Only report how many runs there are.")

    @field_validator("run_ids")
    @classmethod
    def _either(cls, run_ids: list[str] | None, others: ValidationInfo) -> list[str] | None:
        if "q" in others.data and (run_ids is None) == (others.data["q"] is None):
            raise ValueError("is required where `q` is absent, and must be absent where it is given")
        return run_ids

    @field_validator("tags")
    @classmethod
    def _of_tag(cls, tags: dict[str, str | None] | None, others: ValidationInfo) -> dict[str, str | None] | None:
        if "action" in others.data and (tags is None) == (others.data["action"] is states.BulkKind.TAG):
            raise ValueError("is required for the action `tag`, and must be absent for others")
        return tags


class BulkFailure(Answer):
    """A run that could not be handled."""

    run_id: str | None = Field(description="Null where the action itself failed.")
    error: str


class BulkAction(Answer):
    """An action on many runs, and how far it has come."""

    id: str | None = Field(description="Null for a dry run.")
    action: states.BulkKind
    state: Literal["planned", "running", "finished", "stopped"] = Field(description="`planned` for a dry run.")
    question: str | None
    total: int = Field(description="How many runs there were at the beginning.")
    is_exact: bool = Field(description="False where there are more than `total`, since only so many are counted.")
    done: int
    failed: int
    errors: Sequence[BulkFailure] = Field(description="The first failures.")
    submitted_by: str
    created_at: Instant
    finished_at: Instant | None


class BulkActions(Page):
    """A page of bulk actions, newest first."""

    actions: Sequence[BulkAction]


def bulk_action(stored: bulk.Action, *, is_planned: bool = False) -> BulkAction:
    """Return a bulk action as an answer."""
    return BulkAction(
        id=None if is_planned else stored.id,
        state="planned" if is_planned else stored.state,
        errors=[BulkFailure(run_id=each.get("runId"), error=each["error"]) for each in stored.errors or ()],
        **{name: getattr(stored, name) for name in _SAME},
    )


_SAME = ("action", "question", "total", "is_exact", "done", "failed", "submitted_by", "created_at", "finished_at")


class NewView(Request):
    """A view of the list of runs that is to be saved."""

    name: ViewName
    question: Annotated[Text, Field(max_length=8192)] = Field(
        description="The query string of the list: its filters, range and sort."
    )
    columns: (
        Annotated[list[Annotated[Text, Field(min_length=1, max_length=80)]], Field(max_length=50, fail_fast=True)]
        | None
    ) = Field(None, description="The columns in order; those of the list where none are given.")
    is_shared: bool = Field(False, description="Whether every key that may read sees it.")


class View(Answer):
    """A saved view. Its owner is the name of an API key."""

    id: str
    owner: str
    name: str
    is_shared: bool
    question: str
    columns: Sequence[str] | None
    created_at: Instant
    updated_at: Instant


class Views(Answer):
    """The views of the caller and the shared ones of others, by name."""

    views: Sequence[View]
