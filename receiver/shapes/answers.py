"""What we answer. Every field is always there, null where there is no value; instants are RFC 3339 in UTC."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AliasGenerator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from storage import columns, deliveries, jobs, states, stats

Instant = Annotated[
    datetime,
    PlainSerializer(columns.text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


class Answer(BaseModel):
    """A body that goes out, read off a value of `storage` by the names of its fields."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(serialization_alias=to_camel),
        frozen=True,
        from_attributes=True,
        hide_input_in_errors=True,
        json_schema_serialization_defaults_required=True,
    )


#: What every list says of rows that it has no more of than their names.
UNREADABLE = "Rows that are left out, since what is stored of them cannot be read: their ids, or their positions."


class Page(Answer):
    """What every list has beside its rows."""

    has_more: bool
    next_cursor: str | None = Field(description="Opaque; null on the last page.")
    unreadable: list[str] = Field([], description=UNREADABLE)


class Problem(Answer):
    """What went wrong, after RFC 9457. Fields that do not apply are absent."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    parameter: str | None = Field(None, description="The query parameter that is at fault.")
    position: int | None = Field(
        None, description="The character from which the parameter, or the statement, is wrong."
    )
    header: str | None = Field(None, description="The header that is at fault.")
    did_you_mean: str | None = Field(None, description="A known name that resembles the one given.")
    scope: str | None = Field(None, description="The scope that the API key lacks.")
    run_id: str | None = Field(None, description="The run that stands in the way.")
    errors: list[Fault] | None = Field(None, description="What is wrong with the body, place by place.")


class Fault(Answer):
    """One place of a body."""

    pointer: str = Field(description="A JSON pointer as a URI fragment (RFC 6901).")
    detail: str


class Receipt(Answer):
    """What the sender of a delivery is told once it is committed."""

    receipt: str
    verdict: states.Verdict

    @classmethod
    def of(cls, receipt: deliveries.Receipt) -> Self:
        """The answer to a delivery."""
        return cls(receipt=receipt.id, verdict=receipt.verdict)


class RunLine(Answer):
    """A run as lists show it. `id` is ours; durations are milliseconds, costs micro-dollars."""

    id: str
    upstream_id: str | None
    origin: states.Origin
    execution: states.Execution | None = Field(
        description="What is promised of a submission's execution; null for an adopted run."
    )
    status: states.Status
    agent_id: str | None
    prompt: str | None = Field(description="In lists its first 200 characters.")
    model: str | None
    tags: Mapping[str, str]
    submitted_by: str
    accepted_at: Instant
    created_at: Instant | None
    started_at: Instant | None
    completed_at: Instant | None
    settled_at: Instant | None
    settled_by: states.Road | None = Field(description="The road by which we first knew of the end.")
    cancel_requested_at: Instant | None
    expected_by: Instant | None
    missing_since: Instant | None
    duration_ms: int | None
    input_tokens: int | None
    output_tokens: int | None
    tool_calls: int | None
    cost_micros: int | None
    summary: str | None
    failure_reason: str | None
    failure_source: str | None
    step_count: int
    pruned_at: Instant | None = Field(description="When its content was removed; measures and ledger stay.")
    captured_at: Instant | None = Field(description="When the events of its stream had all been stored.")
    capture_note: str | None = Field(description="What is missing of them.")


class Run(RunLine):
    """A run with all that was asked and came back."""

    guidance: str | None
    instructions: str | None = Field(description="Of an agent that was made for this run alone.")
    object_ids: list[str] | None
    output: str | None
    idempotency_key: str | None
    request_sha256: str | None
    refresh_requested_at: Instant | None
    asked_at: Instant | None
    watched: bool = Field(description="Whether the upstream took a callback address for it.")


class Runs(Page):
    """A page of runs."""

    runs: list[FoundRun]
    total: Total | None = Field(description="How many there are in all; null unless it is asked for.")
    unindexed: int | None = Field(
        description="Runs whose words are not to be found yet; null unless words are asked for."
    )


class FoundRun(RunLine):
    """A run of a list."""

    snippets: list[Snippet] = Field([], description="Where it says what was asked for.")


class Snippet(Answer):
    """A place in a run's texts."""

    part: states.Part
    step: int | None = Field(description="The position of the step, where it is a text of one.")
    text: str = Field(description="What stands there, in one line.")
    marks: list[tuple[int, int]] = Field(description="The hits: characters of the text, from and to.")
    html: str = Field(description="The same, escaped, with each hit in a mark element.")


class Total(Answer):
    """How many there are."""

    count: int
    exact: bool = Field(description="False where there are more than could be counted.")


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        raise ValueError("is not UTF-8")
    return value


#: A JSON value; bytes are what is stored of one that is not UTF-8.
JsonText = Annotated[Any, BeforeValidator(_decoded)]


class Step(Answer):
    """A step of the trace."""

    position: int
    upstream_id: str | None
    type: str | None
    content: str | None
    tool_name: str | None
    tool_input: JsonText
    tool_output: JsonText
    duration_ms: int | None
    timestamp: Instant | None


class Steps(Page):
    """A page of steps, in their order."""

    steps: list[Step]


class Delivery(Answer):
    """A request that came to a public endpoint."""

    id: str
    road: states.Road
    run_id: str | None
    event_id: str | None
    event_type: str | None
    received_at: Instant
    verdict: states.Verdict
    reason: str | None
    duplicate_of: str | None
    repeats: int
    last_repeat_at: Instant | None
    remote_addr: str | None
    body_sha256: str
    size: int
    secret_used: str | None


class DeliveryWithBody(Delivery):
    """The same with what was sent. `body` is base64; `text` the same bytes where they are UTF-8.

    Both are gone, and `size` is not, once the run was pruned.
    """

    headers: Mapping[str, str]
    body: str
    text: str | None

    @classmethod
    def of(cls, stored: deliveries.Stored) -> Self:
        """A delivery that was read with its body."""
        held = stored.body or b""
        line = Delivery.model_validate(stored).model_dump()
        body = base64.b64encode(held).decode("ascii")
        is_pruned = stored.size > 0 and not held
        return cls(
            **line,
            headers=stored.headers if isinstance(stored.headers, Mapping) else {},
            body=body,
            text=None if is_pruned else _text(held),
        )


def _text(held: bytes) -> str | None:
    try:
        return held.decode()
    except UnicodeDecodeError:
        return None


class Deliveries(Page):
    """A page of deliveries, newest first."""

    deliveries: list[Delivery]


class Job(Answer):
    """A wish that is being carried out. `runId` is null for work of the whole house."""

    id: str
    kind: states.Kind | str
    run_id: str | None
    state: jobs.State
    created_at: Instant
    due_at: Instant
    wanted: int
    road: states.Road | str | None
    lease_until: Instant | None
    attempts: int
    refusals: int
    last_error: str | None
    last_error_at: Instant | None
    dead_at: Instant | None

    @classmethod
    def of(cls, job: jobs.Listed) -> Self:
        """A row of `jobs`."""
        made = cls.model_validate(job)
        return made if made.run_id else made.model_copy(update={"run_id": None})


class Jobs(Page):
    """A page of jobs, newest first."""

    jobs: list[Job]


class TimelineEntry(Answer):
    """Something that happened to a run. `number` is its place in the feed, `delivery` what came in with it."""

    at: Instant
    kind: str
    actor: str
    facts: Mapping[str, Any]
    number: int | None
    delivery: Delivery | None


class Timeline(Page):
    """All that happened to a run, oldest first."""

    timeline: list[TimelineEntry]


class StatsRow(Answer):
    """The sums of one group; `key` is null for runs without a value. Percentiles are 3.2 % off at most.

    A sum that is larger than 64 bits hold is told as the largest number that they do, 9223372036854775807.
    """

    key: str | None
    count: int
    cost_micros: int
    input_tokens: int
    output_tokens: int
    mean_duration_ms: int | None
    max_duration_ms: int | None
    p50_ms: int | None
    p90_ms: int | None
    p95_ms: int | None
    p99_ms: int | None


class StatsWindow(Answer):
    """The runs that were looked at."""

    runs: int = Field(description="The newest so many.")
    since: Instant = Field(description="When the first of them was accepted.")


class Stats(Answer):
    """Sums over runs: hours, days, months newest first, others by count. At most 1,000 groups, 50 of reasons."""

    by: str
    measure: stats.Measure = Field(
        description="What is timed: how long runs took, or by `road` after how long their end was known here."
    )
    source: stats.Source
    bounded: bool = Field(description="Whether older runs were left out, see `window`.")
    window: StatsWindow | None = Field(description="Null where all runs were looked at.")
    stats: list[StatsRow]


class Alive(Answer):
    """The process answers."""

    ok: bool
    version: str


class Ready(Answer):
    """Whether the house can do its work."""

    ready: bool


class Readiness(Ready):
    """Why, or why not. Who has no key is told `ready` alone."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    reasons: list[str] | None = Field(None, description="Why it is not ready.")
    upstream_ok_at: Instant | None = Field(None, description="When the upstream last answered well.")
    worker_seconds: float | None = Field(None, description="Since a worker was last seen.")
    overdue_runs: int | None = None
    failing_jobs: int | None = None
    failing: list[Job] | None = Field(None, description="The newest few of them.")
    warnings: list[str] | None = Field(None, description="What somebody should look at, though work goes on.")
