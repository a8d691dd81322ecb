"""Read Case.dev's answers leniently into frozen values. Source of the format: its openapi.json.

An answer must be a JSON object with a usable id and a known state, else InvalidResponse or ResponseTooDeep is
raised. Any other field may be missing or of a wrong type, and unknown fields are ignored: a run is never lost over
a detail. Instants are timezone-aware and in UTC, costs are micro-dollars, durations milliseconds. `now` bounds the
instants: those before 2000 and those more than a year ahead count as missing.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator

from receiver import errors, upstream_values
from receiver.upstream import audit_trail, failure_reasons, routes, sanitize
from storage import bounds, results, states


@dataclasses.dataclass(frozen=True, slots=True)
class Created:
    """A new run, and the agent that was made for it if one call made both."""

    id: str
    created_at: datetime.datetime | None = None
    agent_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """The short answer about a run's state, with few of its measures."""

    id: str
    status: states.Status
    measures: results.Measures


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """A run as the list shows it; the prompt is cut at 200 characters."""

    id: str
    agent_id: str | None
    status: states.Status
    prompt: str | None
    created_at: datetime.datetime | None
    started_at: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """A page of the list, newest first; `next_cursor` is None on the last one."""

    runs: tuple[Listed, ...]
    has_more: bool
    next_cursor: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class AgentPage:
    """A page of the list of agents: their names by their ids; `next_cursor` is None on the last one.

    An agent without a name has its id as one.
    """

    names: dict[str, str]
    next_cursor: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Details(Status):
    """All known data of a run; `parse_error` lists what was changed or left out, None for nothing.

    `model` is the run's own; the one in the measures may be that of its first charged call.
    """

    agent_id: str | None
    prompt: str | None
    guidance: str | None
    model: str | None
    steps: tuple[results.Step, ...]
    usage: tuple[results.Usage, ...]
    parse_error: str | None


def created(body: bytes, now: datetime.datetime) -> Created:
    """Read the answer to a create."""
    fields = sanitize.read(body, routes.CREATE, now)
    return Created(_id(fields, routes.CREATE, body), fields.instant("createdAt"))


def executed(body: bytes, now: datetime.datetime) -> Created:
    """Read the answer to the one call that creates and starts a run."""
    fields = sanitize.read(body, routes.EXECUTE_AD_HOC, now)
    return Created(_id(fields, routes.EXECUTE_AD_HOC, body, "runId"), agent_id=fields.name("agentId"))


def agents(body: bytes, now: datetime.datetime) -> AgentPage:
    """Read a page of the list of agents; an agent without a usable id is left out."""
    fields = sanitize.read(body, routes.AGENTS, now)
    if not fields.has_list("agents"):
        raise errors.InvalidResponse(routes.AGENTS, "the answer has no list of agents", body)
    shown = [(each.safe_id("id"), (each.name("name") or "").strip()) for each in fields.each("agents")]
    names = {agent: name or agent for agent, name in shown if agent is not None}
    return AgentPage(names, fields.safe_id("nextCursor") if fields.flag("hasMore") else None)


def instructions(body: bytes, now: datetime.datetime) -> str | None:
    """Read the instructions of an agent."""
    return sanitize.read(body, routes.AGENT, now).text("instructions")


def status(body: bytes, now: datetime.datetime, route: str = routes.STATUS) -> Status:
    """Read the answer to a status call, or to exec and cancel, which have the same id and status."""
    fields = sanitize.read(body, route, now)
    measures = results.Measures(
        started_at=fields.instant("startedAt"),
        completed_at=fields.instant("completedAt"),
        duration_ms=fields.duration("durationMs"),
    )
    return Status(_id(fields, route, body), _status(fields, route, body), measures)


def page(body: bytes, now: datetime.datetime) -> Page:
    """Read a page of the list; a run without a usable id or with an unknown state is left out."""
    fields = sanitize.read(body, routes.LIST, now)
    if not fields.has_list("runs"):
        raise errors.InvalidResponse(routes.LIST, "the answer has no list of runs", body)
    runs = tuple(run for item in fields.each("runs") for run in _listed(item))
    return Page(runs, fields.flag("hasMore"), fields.safe_id("nextCursor"))


def _listed(fields: sanitize.Fields) -> Iterator[Listed]:
    run_id, state = fields.safe_id("id"), fields.text("status")
    if run_id is None or state not in upstream_values.STATUSES:
        return
    yield Listed(
        id=run_id,
        agent_id=fields.name("agentId"),
        status=states.Status(state),
        prompt=fields.text("prompt"),
        created_at=fields.instant("createdAt"),
        started_at=fields.instant("startedAt"),
    )


def details(body: bytes, now: datetime.datetime) -> Details:
    """Read the complete audit trail of a run from its document."""
    notes = sanitize.Notes()
    fields = sanitize.Fields(sanitize.document(routes.DETAILS, body), notes, now)
    run_id, state = _id(fields, routes.DETAILS, body), _status(fields, routes.DETAILS, body)
    result, usage = fields.within("result"), fields.within("usage")
    totals = usage.within("summary")
    steps, entries = audit_trail.steps(fields, notes), audit_trail.usage(usage, notes)
    runtime_state, model = fields.text("runtimeState"), fields.name("model")
    reason, source = _failure(result, steps, runtime_state) if state == "failed" else (None, None)
    started_at, completed_at = fields.instant("startedAt"), fields.instant("completedAt")
    measures = results.Measures(
        model=next((name for name in (model, *(entry.model for entry in entries)) if name), None),
        created_at=fields.instant("createdAt"),
        started_at=started_at,
        completed_at=completed_at,
        duration_ms=_first(usage.duration("durationMs"), _elapsed(started_at, completed_at, fields)),
        input_tokens=_first(usage.count("inputTokens"), totals.count("totalInputTokens")),
        output_tokens=_first(usage.count("outputTokens"), totals.count("totalOutputTokens")),
        tool_calls=usage.count("toolCalls"),
        cost_micros=_first(totals.count("costMicros"), audit_trail.cost(entries)),
        output=result.text("output"),
        summary=result.within("finalResponse").text("summary"),
        failure_reason=reason,
        failure_source=source,
    )
    return Details(
        run_id,
        state,
        measures,
        agent_id=fields.name("agentId"),
        prompt=fields.text("prompt"),
        guidance=fields.text("guidance"),
        model=model,
        steps=steps,
        usage=entries,
        parse_error=notes.text(),
    )


def _id(fields: sanitize.Fields, route: str, body: bytes, name: str = "id") -> str:
    run_id = fields.safe_id(name)
    if run_id is None:
        raise errors.InvalidResponse(route, "the answer has no usable id", body)
    return run_id


def _status(fields: sanitize.Fields, route: str, body: bytes) -> states.Status:
    state = fields.text("status")
    if state not in upstream_values.STATUSES:
        raise errors.InvalidResponse(route, "the answer has no known status", body)
    return states.Status(state)


def _failure(
    result: sanitize.Fields, steps: tuple[results.Step, ...], runtime_state: str | None
) -> tuple[str | None, str | None]:
    logs = result.within("logs")
    return failure_reasons.failure(
        issues=result.within("finalResponse").texts("issues"),
        logs=[logs.text(name) for name in ("runner", "runtime", "opencode")],
        step_texts=audit_trail.step_texts(steps),
        runtime_state=runtime_state,
    )


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _elapsed(
    started_at: datetime.datetime | None, completed_at: datetime.datetime | None, fields: sanitize.Fields
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
