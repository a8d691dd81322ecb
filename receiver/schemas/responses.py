"""The bodies of answers. Every field is always present, null without a value; instants are RFC 3339 in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from storage import states
from storage.engine import column_types
from storage.repositories import job_errors
from storage.stats import groups, questions

Instant = Annotated[
    datetime,
    PlainSerializer(column_types.instant_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


class Answer(BaseModel):
    """The base of bodies that go out, read off a value of `storage` by the names of its fields."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=to_camel, serialization_alias=to_camel),
        defer_build=True,
        frozen=True,
        from_attributes=True,
        hide_input_in_errors=True,
        json_schema_serialization_defaults_required=True,
        validate_by_name=True,
        validate_by_alias=True,
    )


UNREADABLE = "Ids, or positions, of rows that are left out since their stored values cannot be read."


class Page(Answer):
    """The fields that every list has beside its rows."""

    has_more: bool
    next_cursor: str | None = Field(description="Opaque; null on the last page.")
    unreadable: list[str] = Field([], description=UNREADABLE)


class Problem(Answer):
    """A problem answer (RFC 9457). Fields that do not apply are absent."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    parameter: str | None = Field(None, description="The query parameter that is invalid.")
    position: int | None = Field(
        None, description="The character from which the parameter, or the SQL statement, is invalid."
    )
    header: str | None = Field(None, description="The header that is invalid.")
    did_you_mean: str | None = Field(None, description="A known name that resembles the one given.")
    scope: str | None = Field(None, description="The scope that the API key lacks.")
    run_id: str | None = Field(None, description="The run that the request conflicts with.")
    errors: list[Fault] | None = Field(None, description="The faults of the body, place by place.")


class Fault(Answer):
    """A fault at one place of a body."""

    pointer: str = Field(description="A JSON pointer as a URI fragment (RFC 6901).")
    detail: str


class Receipt(Answer):
    """The answer to the sender of a delivery, once the delivery is committed."""

    receipt: str
    verdict: states.Verdict


class RunLine(Answer):
    """A run as lists show it. `id` is Runledger's; durations are milliseconds, costs micro-dollars."""

    id: str
    upstream_id: str | None
    origin: states.Origin
    execution: states.Execution | None = Field(
        description="How often a submission is executed: exactly once or at most once; null for an adopted run."
    )
    status: states.Status
    agent_id: str | None
    prompt: str | None = Field(description="In lists its first 200 characters.")
    model: str | None
    tags: Mapping[str, str]
    submitted_by: str
    accepted_at: Instant
    created_at: Instant | None = Field(description="When the upstream created it.")
    started_at: Instant | None = Field(description="When its execution began.")
    completed_at: Instant | None = Field(description="When it ended upstream.")
    settled_at: Instant | None = Field(description="When its end was stored here.")
    settled_by: states.Source | None = Field(description="The source that first reported the end of the run.")
    cancel_requested_at: Instant | None
    expected_by: Instant | None = Field(
        description="When it should have ended; an open run is overdue afterwards."
    )
    missing_since: Instant | None = Field(description="Since when the upstream has not found it.")
    duration_ms: int | None
    input_tokens: int | None
    output_tokens: int | None
    tool_calls: int | None
    cost_micros: int | None
    summary: str | None
    failure_reason: str | None
    failure_source: str | None = Field(description="Where the reason was found, or which side refused the run.")
    step_count: int
    pruned_at: Instant | None = Field(
        description="When its content was removed; measures and ledger entries stay."
    )
    captured_at: Instant | None = Field(description="When all events of its stream had been stored.")
    capture_note: str | None = Field(description="Which events are missing.")
    again_of: str | None = Field(description="The run that this one runs again, by Runledger's id.")
    review: states.Judgement | None = Field(description="The newest judgement of its reviews.")


class Run(RunLine):
    """A run with all that was requested and all that came back."""

    guidance: str | None
    instructions: str | None = Field(
        description="The instructions of an agent that was created for this run only."
    )
    object_ids: list[str] | None
    output: str | None
    idempotency_key: str | None
    request_sha256: str | None = Field(
        description="Decides whether a repeated idempotency key means the same request."
    )
    refresh_requested_at: Instant | None
    asked_at: Instant | None = Field(description="When the upstream was last asked about it.")
    watched: bool = Field(description="Whether the upstream accepted a callback address for it.")


class Runs(Page):
    """A page of runs."""

    runs: list[FoundRun]
    total: Total | None = Field(description="The number of all matching runs; null unless `count` is set.")
    unindexed: int | None = Field(
        description="The number of runs that are not indexed yet; null unless the filter contains words."
    )


class FoundRun(RunLine):
    """A run of a list."""

    snippets: list[Snippet] = Field([], description="The places that match the words of the filter.")


class Snippet(Answer):
    """A place in a run's texts."""

    part: states.Part
    step: int | None = Field(description="The position of the step, where the text is part of one.")
    text: str = Field(description="The text around the matches, in one line.")
    marks: list[tuple[int, int]] = Field(description="The matches: start and end, in characters of the text.")
    html: str = Field(description="The same as HTML, with each match in a mark element.")


class Total(Answer):
    """A count of runs."""

    count: int
    exact: bool = Field(description="False where there are more runs than could be counted.")


class Step(Answer):
    """A step of the trace."""

    position: int
    upstream_id: str | None
    type: str | None
    content: str | None
    tool_name: str | None
    tool_input: Any
    tool_output: Any
    duration_ms: int | None
    timestamp: Instant | None


class Steps(Page):
    """A page of steps, in their order."""

    steps: list[Step]


class Delivery(Answer):
    """A request that arrived at a public endpoint."""

    id: str
    source: states.Source
    run_id: str | None
    event_id: str | None
    event_type: str | None
    received_at: Instant
    verdict: states.Verdict
    reason: str | None = Field(description="Why it was rejected, or what was unusual about it.")
    duplicate_of: str | None = Field(description="The accepted delivery that it repeats.")
    repeats: int = Field(description="Further duplicates, which are not stored.")
    last_repeat_at: Instant | None
    remote_addr: str | None
    body_sha256: str
    size: int = Field(description="The bytes that were sent; of a large body only the beginning is stored.")
    secret_used: str | None = Field(description="The name of the secret that verified it.")


class DeliveryWithBody(Delivery):
    """A delivery with what was sent. `body` is base64; `text` is the same bytes where they are UTF-8.

    Once the run was pruned, both are empty and `size` stays.
    """

    headers: Mapping[str, str]
    body: str
    text: str | None


class Deliveries(Page):
    """A page of deliveries, newest first."""

    deliveries: list[Delivery]


class Job(Answer):
    """A job. `runId` is null for a deployment-wide job."""

    id: str
    kind: states.Kind | str
    run_id: str | None
    state: states.JobState
    created_at: Instant
    due_at: Instant
    requested: int = Field(description="The number of requests for this job.")
    trigger: states.Source | str | None
    lease_until: Instant | None
    attempts: int = Field(description="Claims since a callback or an API client last requested the job.")
    refusals: int = Field(description="How often in a row the upstream has refused it.")
    last_error: str | None
    last_error_at: Instant | None
    dead_at: Instant | None


class Jobs(Page):
    """A page of jobs, newest first."""

    jobs: list[Job]


class Cause(Answer):
    """Failing or dead jobs with one cause; ids and numbers in its text are replaced by `…`."""

    kind: states.Kind | str
    state: states.FailedJobState
    cause: str
    count: int
    oldest_at: Instant = Field(description="When the oldest of the jobs was enqueued.")
    due_at: Instant | None = Field(description="When the first of the jobs is due; null for dead jobs.")

    @classmethod
    def of(cls, cause: job_errors.Cause) -> Self:
        """Return a group of jobs as an answer."""
        answer = cls.model_validate(cause)
        is_dead = answer.state is states.FailedJobState.DEAD
        return answer.model_copy(update={"due_at": None}) if is_dead else answer


class Causes(Answer):
    """The causes of failing and dead jobs, the cause of most jobs first."""

    causes: list[Cause]


class Retried(Causes):
    """The number of jobs that are due now, or would be, and the causes of their failures."""

    count: int
    dry_run: bool


class TimelineEntry(Answer):
    """Something that happened to a run. `number` is its place in the feed, `delivery` the request behind it."""

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
    """The sums of one group; `key` is null for runs without a value. Percentiles are off by at most 3.2 %.

    A sum that does not fit into 64 bits is given as the largest number that does, 9223372036854775807.
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
    """The runs that were counted where not all were."""

    runs: int = Field(description="The number of runs, the newest ones.")
    since: Instant = Field(description="When the oldest of them was accepted.")


class Stats(Answer):
    """Sums over runs. Hours, days and months come newest first, others by count.

    There are at most 1,000 groups, of failure reasons at most 50.
    """

    by: str
    measure: groups.Measure = Field(
        description="What the durations measure: how long runs took, or by source how long their settling took."
    )
    read_from: questions.ReadFrom
    bounded: bool = Field(description="Whether older runs were left out, see `window`.")
    window: StatsWindow | None = Field(description="Null where all runs were counted.")
    stats: list[StatsRow]


class SqlResult(Answer):
    """Rows as the database returned them. JSON is given as text, bytes as `\\x` and hexadecimal digits."""

    columns: list[str] = Field(description="The names of the columns, which need not be unique.")
    rows: list[list[str | int | float | bool | None]]
    truncated: bool = Field(
        validation_alias="is_truncated",
        description="Whether there were more rows than `limit`, or than fit into an answer.",
    )


class Alive(Answer):
    """The state of the process."""

    ok: bool
    version: str


class Ready(Answer):
    """Whether the deployment can do its work."""

    ready: bool


class Readiness(Ready):
    """Readiness with its reasons. Without an API key only `ready` is present."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    reasons: list[str] | None = Field(None, description="Why the deployment is not ready.")
    upstream_ok_at: Instant | None = Field(None, description="When the upstream last answered without an error.")
    worker_seconds: float | None = Field(None, description="Seconds since a worker was last seen.")
    overdue_runs: int | None = None
    failing_jobs: int | None = None
    failing: list[Job] | None = Field(None, description="The newest failing jobs.")
    warnings: list[str] | None = Field(None, description="What needs attention, although work continues.")
