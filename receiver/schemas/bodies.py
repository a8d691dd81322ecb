"""The bodies of requests."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from receiver.schemas.text_types import Id, TagKey, TagValue, Text
from storage import bounds, states
from storage.user_sql import sql_runner

TAGS = bounds.TAGS


def _few(value: object) -> object:
    """Count the tags before they are checked: a million bad tags would make a million faults."""
    if isinstance(value, dict) and len(value) > TAGS:
        raise ValueError(f"has {len(value)} entries, more than {TAGS}")
    return value


_CLOSED: JsonDict = {"additionalProperties": False}
Tags = Annotated[dict[TagKey, TagValue], Field(max_length=TAGS, json_schema_extra=_CLOSED), BeforeValidator(_few)]

ChangedTags = Annotated[
    dict[TagKey, TagValue | None],
    Field(min_length=1, max_length=TAGS, json_schema_extra=_CLOSED),
    BeforeValidator(_few),
]

# Validation stops at the first fault, for the same reason.
ObjectIds = Annotated[
    list[Annotated[Text, Field(min_length=1, max_length=256)]], Field(max_length=1000, fail_fast=True)
]


class Request(BaseModel):
    """The base of bodies that come in: strict types, no unknown fields."""

    model_config = ConfigDict(
        defer_build=True,
        alias_generator=AliasGenerator(validation_alias=to_camel),
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
    )


#: The rule of `_either`, for the OpenAPI description. Generators of clients take a plain `oneOf` for the whole
#: schema, and leave out the fields beside it.
_EITHER: JsonDict = {
    "if": {
        "oneOf": [
            {"required": [one], "properties": {one: {"type": "string"}, other: {"type": "null"}}}
            for one, other in (("agentId", "instructions"), ("instructions", "agentId"))
        ]
    },
    "else": False,
}


class Submission(Request):
    """A run to be executed. An optional field that is null counts as absent."""

    model_config = ConfigDict(json_schema_extra=_EITHER)

    instructions: Annotated[Text, Field(min_length=1, max_length=1_000_000)] | None = Field(
        None,
        description="In place of `agentId`: the instructions of an agent that is created for this run only. "
        "Such a run is created and started by one call and executed at most once; a run of an agent is executed "
        "exactly once.",
    )
    agent_id: Id | None = Field(None, validate_default=True, description="The upstream's id of the agent.")
    prompt: Annotated[Text, Field(min_length=1, max_length=1_000_000, description="The task of the run.")]
    guidance: Annotated[Text, Field(max_length=1_000_000)] | None = Field(
        None, description="Additional instructions for this run."
    )
    model: Annotated[Text, Field(min_length=1, max_length=200)] | None = Field(
        None, description="The model to use in place of the agent's default."
    )
    object_ids: ObjectIds | None = Field(
        None, description="The ids of the upstream's vault objects that the run may read."
    )
    tags: Tags | None = Field(None, description="Labels by which runs can be found.")

    @field_validator("agent_id")
    @classmethod
    def _either(cls, agent_id: str | None, others: ValidationInfo) -> str | None:
        # Invalid instructions have a fault of their own.
        if "instructions" in others.data and (agent_id is None) == (others.data["instructions"] is None):
            raise ValueError("is required where `instructions` is absent, and must be absent where it is given")
        return agent_id


class NewTags(Request):
    """All tags that a run is to have."""

    tags: Tags


class TagChanges(Request):
    """Tags to set; null removes a tag, and the others stay."""

    tags: ChangedTags


class Again(Request):
    """What differs when a run is run again; the rest is that of the run. Null counts as absent."""

    prompt: Annotated[Text, Field(min_length=1, max_length=1_000_000)] | None = None
    guidance: Annotated[Text, Field(max_length=1_000_000)] | None = None
    model: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    tags: Tags | None = Field(None, description="In place of all tags of the run.")


class WatchRequest(Request):
    """A run that was created elsewhere and is to be adopted."""

    run_id: Id = Field(description="The upstream's id of the run.")


class Retry(Request):
    """Which failing and dead jobs are retried now; all of them where nothing is given."""

    kind: Annotated[states.Kind, Field(strict=False)] | None = None
    state: Annotated[states.FailedJobState, Field(strict=False)] | None = None
    cause: Annotated[Text, Field(min_length=1, max_length=500)] | None = Field(
        None, description="A part of the cause as `/v1/jobs/causes` shows it; case does not matter."
    )
    dry_run: bool = Field(False, description="Only report which jobs match.")


def _whole(value: object) -> object:
    """Return an integral float as an integer: in JSON 1000.0 is the same number as 1000."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class KeyRequest(Request):
    """An API key to be made."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.@-][A-Za-z0-9 _.@-]{0,63}$")] = Field(
        description="Who uses it; the ledger records it."
    )
    scopes: Annotated[list[Literal["submit", "read", "admin"]], Field(min_length=1, max_length=3)] = Field(
        description="What it may do."
    )


class SqlStatement(Request):
    """One SQL statement that reads: SELECT, WITH or VALUES."""

    sql: Annotated[Text, Field(min_length=1, max_length=sql_runner.CHARACTERS)] = Field(
        description="The statement is executed unchanged; `$1`, `$2` and so on are its parameters."
    )
    parameters: Annotated[
        list[
            Annotated[Text, Field(max_length=4096)]
            | bool
            | Annotated[int, Field(ge=-(2**63), lt=2**63)]
            | float
            | None
        ],
        Field(max_length=100, fail_fast=True),
    ] = Field([], description="The values of `$1` and so on, in order.")
    limit: Annotated[int, BeforeValidator(_whole)] = Field(
        1000, ge=1, le=sql_runner.ROWS, description="The most rows of the answer."
    )
