"""What callers send."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasGenerator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from receiver.shapes.texts import Id, TagKey, TagValue, Text
from storage import causes, states
from storage import sql as statements

#: Tags of one run at most.
TAGS = 50


def _few(value: Any) -> Any:
    """Counted before they are looked at, or a million bad tags would make a million faults."""
    if isinstance(value, dict) and len(value) > TAGS:
        raise ValueError(f"has {len(value)} entries, more than {TAGS}")
    return value


_CLOSED: JsonDict = {"additionalProperties": False}
Tags = Annotated[dict[TagKey, TagValue], Field(max_length=TAGS, json_schema_extra=_CLOSED), BeforeValidator(_few)]

# It stops at the first fault, for the same reason.
ObjectIds = Annotated[
    list[Annotated[Text, Field(min_length=1, max_length=256)]], Field(max_length=1000, fail_fast=True)
]


class Request(BaseModel):
    """A body: strict types, no unknown fields."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=to_camel),
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
    )


#: The same for who reads the description.
_EITHER: JsonDict = {
    "oneOf": [
        {"required": [one], "properties": {one: {"type": "string"}, other: {"type": "null"}}}
        for one, other in (("agentId", "instructions"), ("instructions", "agentId"))
    ]
}


class Submission(Request):
    """A run to be carried out. An optional field that is null is as good as absent."""

    model_config = ConfigDict(json_schema_extra=_EITHER)

    instructions: Annotated[Text, Field(min_length=1, max_length=1_000_000)] | None = Field(
        None,
        description="In place of an agent: what one is told that is made for this run alone. Such a run is "
        "created and started by one call, and executed at most once; one of an agent is executed exactly once.",
    )
    agent_id: Id | None = Field(
        None, validate_default=True, description="The agent that is to run, as the upstream names it."
    )
    prompt: Annotated[Text, Field(min_length=1, max_length=1_000_000, description="What it is asked to do.")]
    guidance: Annotated[Text, Field(max_length=1_000_000)] | None = Field(
        None, description="Additional instructions for this run."
    )
    model: Annotated[Text, Field(min_length=1, max_length=200)] | None = Field(
        None, description="The model to use in place of the agent's own."
    )
    object_ids: (
        Annotated[
            list[Annotated[Text, Field(min_length=1, max_length=256)]], Field(max_length=1000, fail_fast=True)
        ]
        | None
    ) = Field(None, description="Objects of the vault that the run may read.")
    tags: Tags | None = Field(None, description="Labels of your own, to find runs by.")

    @field_validator("agent_id")
    @classmethod
    def _either(cls, agent_id: str | None, others: ValidationInfo) -> str | None:
        # Instructions that are not there have a fault of their own.
        if "instructions" in others.data and (agent_id is None) == (others.data["instructions"] is None):
            raise ValueError("is needed, or else instructions for an agent that is made for this run; not both")
        return agent_id


class WatchRequest(Request):
    """A run that was created elsewhere and is to be taken care of."""

    run_id: Id = Field(description="The upstream's id of the run.")


class Retry(Request):
    """Which of the failing and dead jobs are to be tried again now; all of them where nothing is named."""

    kind: Annotated[states.Kind, Field(strict=False)] | None = None
    state: Annotated[causes.State, Field(strict=False)] | None = None
    cause: Annotated[Text, Field(min_length=1, max_length=500)] | None = Field(
        None, description="A part of the cause as `/v1/jobs/causes` tells it, in whatever case."
    )
    dry_run: bool = Field(False, description="Only tells which jobs are meant.")


def _whole(value: Any) -> Any:
    """JSON has one kind of numbers: 1000.0 is an integer there."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Question(Request):
    """One statement that reads: SELECT, WITH or VALUES."""

    sql: Annotated[Text, Field(min_length=1, max_length=statements.CHARACTERS)] = Field(
        description="It is carried out as it stands; `$1`, `$2` and so on are its parameters."
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
    ] = Field([], description="What stands for `$1` and so on, in order.")
    limit: Annotated[int, BeforeValidator(_whole)] = Field(
        1000, ge=1, le=statements.ROWS, description="Rows at most."
    )
