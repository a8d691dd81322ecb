"""The audit trail in a run's details: its steps and its charged calls."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Sequence

from receiver.upstream import sanitize
from storage import merkle

MOST_STEPS = 65_536
_LEFT_OUT = f"steps beyond {MOST_STEPS}"
_ENTRIES_LEFT_OUT = f"usage entries beyond {MOST_STEPS}"


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One step of the audit trail; `tool_input` and `tool_output` are any JSON."""

    type: str | None
    content: str | None
    tool_name: str | None
    tool_input: object
    tool_output: object
    duration_ms: int | None
    timestamp: datetime.datetime | None
    upstream_id: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class UsageEntry:
    """One charged call of a run; `metadata` is any JSON."""

    upstream_id: str | None
    kind: str | None
    service: str | None
    endpoint: str | None
    method: str | None
    status_code: int | None
    cost_micros: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    model: str | None
    timestamp: datetime.datetime | None
    metadata: object


def steps(fields: sanitize.Fields, notes: sanitize.Notes) -> tuple[Step, ...]:
    """Return the steps of a run's details, in order; those beyond `MOST_STEPS` are left out and noted."""
    items = list(fields.each("steps"))
    if len(items) > MOST_STEPS:
        notes.count(_LEFT_OUT, len(items) - MOST_STEPS)
    return tuple(_step(item) for item in items[:MOST_STEPS])


def _step(fields: sanitize.Fields) -> Step:
    return Step(
        type=fields.text("type"),
        content=fields.text("content"),
        tool_name=fields.name("toolName"),
        tool_input=fields.anything("toolInput"),
        tool_output=fields.anything("toolOutput"),
        duration_ms=fields.duration("durationMs"),
        timestamp=fields.instant("timestamp"),
        upstream_id=fields.text("id"),
    )


def usage(fields: sanitize.Fields, notes: sanitize.Notes) -> tuple[UsageEntry, ...]:
    """Return the entries of the `usage` of a run's details; those beyond `MOST_STEPS` are left out and noted."""
    items = list(fields.each("entries"))
    if len(items) > MOST_STEPS:
        notes.count(_ENTRIES_LEFT_OUT, len(items) - MOST_STEPS)
    return tuple(_entry(item) for item in items[:MOST_STEPS])


def _entry(fields: sanitize.Fields) -> UsageEntry:
    return UsageEntry(
        upstream_id=fields.text("id"),
        kind=fields.text("kind"),
        service=fields.text("service"),
        endpoint=fields.text("endpoint"),
        method=fields.text("method"),
        status_code=fields.count("statusCode"),
        cost_micros=fields.count("costMicros"),
        prompt_tokens=fields.count("promptTokens"),
        completion_tokens=fields.count("completionTokens"),
        total_tokens=fields.count("totalTokens"),
        model=fields.name("model"),
        timestamp=fields.instant("timestamp"),
        metadata=fields.anything("metadata"),
    )


def encoded_step(step: Step) -> Step:
    """Return the step with its free-form values in canonical JSON."""
    given, found = merkle.encode(step.tool_input), merkle.encode(step.tool_output)
    return dataclasses.replace(step, tool_input=given, tool_output=found)


def encoded_entry(entry: UsageEntry) -> UsageEntry:
    """Return the entry with its free-form value in canonical JSON."""
    return dataclasses.replace(entry, metadata=merkle.encode(entry.metadata))


def cost(entries: Sequence[UsageEntry]) -> int | None:
    """Return the sum of the known costs in micro-dollars; None where none is known or the sum is absurd."""
    known = [entry.cost_micros for entry in entries if entry.cost_micros is not None]
    total = sum(known)
    return total if known and total < sanitize.MAX_INTEGER else None


def step_texts(run_steps: Sequence[Step]) -> Iterator[str]:
    """Yield the texts of the steps, the last step's first: what the agent wrote, then its tool's output."""
    for step in reversed(run_steps):
        yield step.content or ""
        yield from _output_text(step.tool_output)


def _output_text(output: object) -> Iterator[str]:
    """Yield the text of a tool's output, or its error where it is an object."""
    values = [output.get("error"), output.get("message")] if isinstance(output, dict) else [output]
    yield from (text for text in values if isinstance(text, str))
