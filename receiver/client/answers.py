"""The answers of the server as its JSON has them: instants are texts, costs micro-dollars.

Made from the OpenAPI description by `make docs`.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

Execution = Literal["exactlyOnce", "atMostOnce"]
JobKind = Literal["start", "settle", "cancel", "orphan", "adopt", "sweep", "notify", "capture", "check", "bulk"]
JobState = Literal["waiting", "due", "failing", "leased", "dead"]
Judgement = Literal["approved", "rejected"]
Measure = Literal["duration", "settling"]
Origin = Literal["submitted", "adopted"]
Part = Literal["prompt", "guidance", "output", "summary", "failure_reason", "step", "tool_input", "tool_output"]
ReadFrom = Literal["rollup", "rows"]
ReviewVerdict = Literal["approved", "rejected", "comment"]
Source = Literal["watcher", "platform", "sweep", "request"]
Status = Literal["accepted", "queued", "running", "completed", "failed", "cancelled", "refused", "lost"]
Verdict = Literal["accepted", "duplicate", "rejected"]


class Change(TypedDict):
    """A ledger entry. `digests` are SHA-256 over a salt, a name and a value, none of which the ledger contains."""

    number: int
    id: str
    run: str | None
    kind: str
    actor: str
    at: str
    facts: dict[str, Any]
    digests: dict[str, str]


class Changes(TypedDict):
    """A page of the feed. `nextAfter` is the value of `after` for the next page, also at the end of the feed."""

    changes: list[Change]
    hasMore: bool
    nextAfter: int
    restoredAt: str | None


class Deliveries(TypedDict):
    """A page of deliveries, newest first."""

    hasMore: bool
    nextCursor: str | None
    unreadable: list[str]
    deliveries: list[Delivery]


class Delivery(TypedDict):
    """A request that arrived at a public endpoint."""

    id: str
    source: Source
    runId: str | None
    eventId: str | None
    eventType: str | None
    receivedAt: str
    verdict: Verdict
    reason: str | None
    duplicateOf: str | None
    repeats: int
    lastRepeatAt: str | None
    remoteAddr: str | None
    bodySha256: str
    size: int
    secretUsed: str | None


class FoundRun(TypedDict):
    """A run of a list."""

    id: str
    upstreamId: str | None
    origin: Origin
    execution: Execution | None
    status: Status
    agentId: str | None
    prompt: str | None
    model: str | None
    tags: dict[str, str]
    submittedBy: str
    acceptedAt: str
    createdAt: str | None
    startedAt: str | None
    completedAt: str | None
    settledAt: str | None
    settledBy: Source | None
    cancelRequestedAt: str | None
    expectedBy: str | None
    missingSince: str | None
    durationMs: int | None
    inputTokens: int | None
    outputTokens: int | None
    toolCalls: int | None
    costMicros: int | None
    summary: str | None
    failureReason: str | None
    failureSource: str | None
    stepCount: int
    prunedAt: str | None
    capturedAt: str | None
    captureNote: str | None
    againOf: str | None
    review: Judgement | None
    snippets: list[Snippet]


class FullRun(TypedDict):
    """A run with the notification of its end; null where none was due."""

    id: str
    upstreamId: str | None
    origin: Origin
    execution: Execution | None
    status: Status
    agentId: str | None
    prompt: str | None
    model: str | None
    tags: dict[str, str]
    submittedBy: str
    acceptedAt: str
    createdAt: str | None
    startedAt: str | None
    completedAt: str | None
    settledAt: str | None
    settledBy: Source | None
    cancelRequestedAt: str | None
    expectedBy: str | None
    missingSince: str | None
    durationMs: int | None
    inputTokens: int | None
    outputTokens: int | None
    toolCalls: int | None
    costMicros: int | None
    summary: str | None
    failureReason: str | None
    failureSource: str | None
    stepCount: int
    prunedAt: str | None
    capturedAt: str | None
    captureNote: str | None
    againOf: str | None
    review: Judgement | None
    guidance: str | None
    instructions: str | None
    objectIds: list[str] | None
    output: str | None
    idempotencyKey: str | None
    requestSha256: str | None
    refreshRequestedAt: str | None
    askedAt: str | None
    watched: bool
    notification: Notification | None


class Job(TypedDict):
    """A job. `runId` is null for a deployment-wide job."""

    id: str
    kind: JobKind | str
    runId: str | None
    state: JobState
    createdAt: str
    dueAt: str
    requested: int
    trigger: Source | str | None
    leaseUntil: str | None
    attempts: int
    refusals: int
    lastError: str | None
    lastErrorAt: str | None
    deadAt: str | None


class Jobs(TypedDict):
    """A page of jobs, newest first."""

    hasMore: bool
    nextCursor: str | None
    unreadable: list[str]
    jobs: list[Job]


class Notification(TypedDict):
    """The notification of a run's end to the backend. `webhookId` is the same in every attempt."""

    state: Literal["pending", "delivered", "stopped"]
    webhookId: str
    attempts: int
    lastAttemptAt: str | None
    deliveredAt: str | None
    lastStatus: int | None
    lastError: str | None


class Readiness(TypedDict, total=False):
    """Readiness with its reasons. Without an API key only `ready` is present."""

    ready: bool
    reasons: list[str] | None
    upstreamOkAt: str | None
    workerSeconds: float | None
    overdueRuns: int | None
    failingJobs: int | None
    failing: list[Job] | None
    warnings: list[str] | None


class ReceiptEntry(TypedDict):
    """An entry of the ledger, and the proof that it is there."""

    number: int | None
    leaf: str
    proof: str | None


class Review(TypedDict):
    """What a person said about a run: `by` is `key:<name>`, or `operator` for a command on the server."""

    id: str
    runId: str
    verdict: ReviewVerdict
    comment: str | None
    by: str
    at: str


class Reviews(TypedDict):
    """All reviews of a run, newest first."""

    hasMore: bool
    nextCursor: str | None
    unreadable: list[str]
    reviews: list[Review]


class RunReceipt(TypedDict):
    """The entries of a run with their proofs, in their order."""

    hasMore: bool
    nextCursor: str | None
    unreadable: list[str]
    run: str
    keys: list[str]
    policy: str
    pending: int
    note: str | None
    entries: list[ReceiptEntry]


class Runs(TypedDict):
    """A page of runs."""

    hasMore: bool
    nextCursor: str | None
    unreadable: list[str]
    runs: list[FoundRun]
    total: Total | None
    unindexed: int | None


class Snippet(TypedDict):
    """A place in a run's texts."""

    part: Part
    step: int | None
    text: str
    marks: list[tuple[int, int]]
    html: str


class SqlResult(TypedDict):
    """Rows as the database returned them. JSON is given as text, bytes as `\\x` and hexadecimal digits."""

    columns: list[str]
    rows: list[list[str | int | float | bool | None]]
    truncated: bool


class Stats(TypedDict):
    """Sums over runs.

    Hours, days and months come newest first, others by count. There are at most 1,000 groups, of failure
    reasons at most 50.
    """

    by: str
    measure: Measure
    readFrom: ReadFrom
    bounded: bool
    window: StatsWindow | None
    stats: list[StatsRow]


class StatsRow(TypedDict):
    """The sums of one group; `key` is null for runs without a value.

    Percentiles are off by at most 3.2 %. A sum that does not fit into 64 bits is given as the largest number
    that does, 9223372036854775807.
    """

    key: str | None
    count: int
    costMicros: int
    inputTokens: int
    outputTokens: int
    meanDurationMs: int | None
    maxDurationMs: int | None
    p50Ms: int | None
    p90Ms: int | None
    p95Ms: int | None
    p99Ms: int | None


class StatsWindow(TypedDict):
    """The runs that were counted where not all were."""

    runs: int
    since: str


class Step(TypedDict):
    """A step of the trace."""

    position: int
    upstreamId: str | None
    type: str | None
    content: str | None
    toolName: str | None
    toolInput: Any
    toolOutput: Any
    durationMs: int | None
    timestamp: str | None


class Steps(TypedDict):
    """A page of steps, in their order."""

    hasMore: bool
    nextCursor: str | None
    unreadable: list[str]
    steps: list[Step]


class Timeline(TypedDict):
    """All that happened to a run, oldest first."""

    hasMore: bool
    nextCursor: str | None
    unreadable: list[str]
    timeline: list[TimelineEntry]


class TimelineEntry(TypedDict):
    """Something that happened to a run. `number` is its place in the feed, `delivery` the request behind it."""

    at: str
    kind: str
    actor: str
    facts: dict[str, Any]
    number: int | None
    delivery: Delivery | None


class Total(TypedDict):
    """A count of runs."""

    count: int
    exact: bool


class DeliveryWithBody(Delivery):
    """A delivery with what was sent.

    `body` is base64; `text` is the same bytes where they are UTF-8. Once the run was pruned, both are empty
    and `size` stays.
    """

    headers: dict[str, str]
    body: str
    text: str | None
