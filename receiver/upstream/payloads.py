"""What Case.dev's answers say, read leniently into frozen values (the source of the form is its openapi.json).

An answer must be a JSON object with a usable id and a known state, else it is Unreadable (or TooDeep). Any other
field may be missing or of a wrong type, and unknown ones are ignored: a run is never lost over a detail.
Instants are timezone-aware and in UTC, costs are micro-dollars, durations milliseconds. `now` bounds the instants:
those before 2000 and those more than a year ahead are missing.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator

from receiver import errors, hints
from receiver.upstream import cleaning, reasons, routes, trail
from storage import bounds, states


@dataclasses.dataclass(frozen=True, slots=True)
class Created:
    """A run that waits for its execution."""

    id: str
    created_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class Executed:
    """A run that was created and started by one call, and the agent that was made for it."""

    id: str
    agent_id: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """The short answer about a run's state."""

    id: str
    status: states.Status
    started_at: datetime.datetime | None
    completed_at: datetime.datetime | None
    duration_ms: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """A run as the list shows it; the prompt is cut at 200 characters."""

    id: str
    agent_id: str | None
    status: states.Status
    prompt: str | None
    model: str | None
    created_at: datetime.datetime | None
    started_at: datetime.datetime | None
    completed_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """A page of the list, newest first; `next_cursor` is None on the last one."""

    runs: tuple[Listed, ...]
    has_more: bool
    next_cursor: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Details:
    """Everything that is known of a run; `parse_error` says what had to be changed or left out, None for nothing.

    `has_result` and `has_usage` tell whether upstream has written these yet, which it may do after the end.
    """

    id: str
    status: states.Status
    agent_id: str | None
    prompt: str | None
    guidance: str | None
    model: str | None
    created_at: datetime.datetime | None
    started_at: datetime.datetime | None
    completed_at: datetime.datetime | None
    duration_ms: int | None
    input_tokens: int | None
    output_tokens: int | None
    tool_calls: int | None
    cost_micros: int | None
    output: str | None
    summary: str | None
    failure_reason: str | None
    failure_source: str | None
    steps: tuple[trail.Step, ...]
    usage: tuple[trail.UsageEntry, ...]
    has_result: bool
    has_usage: bool
    runtime_state: str | None
    parse_error: str | None


def acknowledged(body: bytes, route: str) -> None:
    """Nothing, where an answer of no further interest is at least a JSON object."""
    cleaning.document(route, body)


def created(body: bytes, now: datetime.datetime) -> Created:
    """The answer to a create."""
    fields = _fields(body, routes.CREATE, now)
    return Created(_id(fields, routes.CREATE, body), fields.instant("createdAt"))


def executed(body: bytes, now: datetime.datetime) -> Executed:
    """The answer to the one call that creates and starts a run."""
    fields = _fields(body, routes.EXECUTE_AD_HOC, now)
    return Executed(_id(fields, routes.EXECUTE_AD_HOC, body, "runId"), fields.name("agentId"))


def instructions(body: bytes, now: datetime.datetime) -> str | None:
    """What an agent is told to be."""
    return _fields(body, routes.AGENT, now).text("instructions")


def status(body: bytes, now: datetime.datetime, route: str = routes.STATUS) -> Status:
    """The answer to a status call; that to exec and cancel has the same id and status."""
    fields = _fields(body, route, now)
    return Status(
        id=_id(fields, route, body),
        status=_status(fields, route, body),
        started_at=fields.instant("startedAt"),
        completed_at=fields.instant("completedAt"),
        duration_ms=fields.duration("durationMs"),
    )


def page(body: bytes, now: datetime.datetime) -> Page:
    """A page of the list; a run without a usable id or with an unknown state is left out."""
    fields = _fields(body, routes.LIST, now)
    if not fields.has_list("runs"):
        raise errors.Unreadable(routes.LIST, "the answer has no list of runs", body)
    cursor = fields.text("nextCursor")
    usable = cursor is not None and hints.SAFE_ID.fullmatch(cursor) is not None
    runs = tuple(run for item in fields.each("runs") for run in _listed(item))
    return Page(runs, fields.flag("hasMore"), cursor if usable else None)


def _listed(fields: cleaning.Fields) -> Iterator[Listed]:
    run_id, state = fields.text("id"), fields.text("status")
    if run_id is None or hints.SAFE_ID.fullmatch(run_id) is None or state not in hints.STATUSES:
        return
    yield Listed(
        id=run_id,
        agent_id=fields.name("agentId"),
        status=states.Status(state),
        prompt=fields.text("prompt"),
        model=fields.name("model"),
        created_at=fields.instant("createdAt"),
        started_at=fields.instant("startedAt"),
        completed_at=fields.instant("completedAt"),
    )


def details(body: bytes, now: datetime.datetime) -> Details:
    """The full audit trail of a run, as its document shows it."""
    notes = cleaning.Notes()
    fields = cleaning.Fields(cleaning.document(routes.DETAILS, body), notes, now)
    run_id, state = _id(fields, routes.DETAILS, body), _status(fields, routes.DETAILS, body)
    result, usage = fields.within("result"), fields.within("usage")
    totals = usage.within("summary")
    steps, entries = trail.steps(fields, notes), trail.usage(usage, notes)
    runtime_state = fields.text("runtimeState")
    reason, source = _failure(result, steps, runtime_state) if state == "failed" else (None, None)
    started_at, completed_at = fields.instant("startedAt"), fields.instant("completedAt")
    return Details(
        id=run_id,
        status=state,
        agent_id=fields.name("agentId"),
        prompt=fields.text("prompt"),
        guidance=fields.text("guidance"),
        model=fields.name("model"),
        created_at=fields.instant("createdAt"),
        started_at=started_at,
        completed_at=completed_at,
        duration_ms=_first(usage.duration("durationMs"), _elapsed(started_at, completed_at, fields)),
        input_tokens=_first(usage.count("inputTokens"), totals.count("totalInputTokens")),
        output_tokens=_first(usage.count("outputTokens"), totals.count("totalOutputTokens")),
        tool_calls=usage.count("toolCalls"),
        cost_micros=_first(totals.count("costMicros"), trail.cost(entries)),
        output=result.text("output"),
        summary=result.within("finalResponse").text("summary"),
        failure_reason=reason,
        failure_source=source,
        steps=steps,
        usage=entries,
        has_result=fields.has("result"),
        has_usage=fields.has("usage"),
        runtime_state=runtime_state,
        parse_error=notes.text(),
    )


def _fields(body: bytes, route: str, now: datetime.datetime) -> cleaning.Fields:
    return cleaning.Fields(cleaning.document(route, body), cleaning.Notes(), now)


def _id(fields: cleaning.Fields, route: str, body: bytes, name: str = "id") -> str:
    run_id = fields.text(name)
    if run_id is None or hints.SAFE_ID.fullmatch(run_id) is None:
        raise errors.Unreadable(route, "the answer has no usable id", body)
    return run_id


def _status(fields: cleaning.Fields, route: str, body: bytes) -> states.Status:
    state = fields.text("status")
    if state not in hints.STATUSES:
        raise errors.Unreadable(route, "the answer has no known status", body)
    return states.Status(state)


def _failure(
    result: cleaning.Fields, steps: tuple[trail.Step, ...], runtime_state: str | None
) -> tuple[str | None, str | None]:
    logs = result.within("logs")
    return reasons.failure(
        issues=result.within("finalResponse").texts("issues"),
        logs=[logs.text(name) for name in ("runner", "runtime", "opencode")],
        last_words=trail.last_words(steps),
        runtime_state=runtime_state,
    )


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _elapsed(
    started_at: datetime.datetime | None, completed_at: datetime.datetime | None, fields: cleaning.Fields
) -> int | None:
    if started_at is None or completed_at is None:
        return None
    elapsed = (completed_at - started_at) // datetime.timedelta(milliseconds=1)
    if elapsed < 0:
        fields.note("completedAt before startedAt")
        return None
    if elapsed > bounds.DURATION_MS:
        fields.note("completedAt long after startedAt")
        return None
    return elapsed
