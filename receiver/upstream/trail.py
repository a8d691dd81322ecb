"""The audit trail in a run's details: its steps and its charged calls."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Sequence

from receiver.upstream import cleaning
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


def steps(fields: cleaning.Fields, notes: cleaning.Notes) -> tuple[Step, ...]:
    """The steps of a run's details, in order; those beyond `MOST_STEPS` are left out and noted."""
    items = list(fields.each("steps"))
    if len(items) > MOST_STEPS:
        notes.count(_LEFT_OUT, len(items) - MOST_STEPS)
    return tuple(_step(item) for item in items[:MOST_STEPS])


def _step(fields: cleaning.Fields) -> Step:
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


def usage(fields: cleaning.Fields, notes: cleaning.Notes) -> tuple[UsageEntry, ...]:
    """The entries of the `usage` of a run's details; those beyond `MOST_STEPS` are left out and noted."""
    items = list(fields.each("entries"))
    if len(items) > MOST_STEPS:
        notes.count(_ENTRIES_LEFT_OUT, len(items) - MOST_STEPS)
    return tuple(_entry(item) for item in items[:MOST_STEPS])


def _entry(fields: cleaning.Fields) -> UsageEntry:
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
    """The same with its free values in canonical JSON."""
    given, found = merkle.encoded(step.tool_input), merkle.encoded(step.tool_output)
    return dataclasses.replace(step, tool_input=given, tool_output=found)


def encoded_entry(entry: UsageEntry) -> UsageEntry:
    """The same with its free value in canonical JSON."""
    return dataclasses.replace(entry, metadata=merkle.encoded(entry.metadata))


def cost(entries: Sequence[UsageEntry]) -> int | None:
    """The sum of what is known of the entries' costs, in micro-dollars; None where nothing is, or it is absurd."""
    known = [entry.cost_micros for entry in entries if entry.cost_micros is not None]
    total = sum(known)
    return total if known and total < cleaning.BOUND else None


def last_words(taken: Sequence[Step]) -> Iterator[str]:
    """The texts of the steps, the last one's first: what the agent wrote, then what its tool told."""
    for step in reversed(taken):
        yield step.content or ""
        yield from _spoken(step.tool_output)


def _spoken(output: object) -> Iterator[str]:
    """The text of a tool's output, or its error where it is an object."""
    told = [output.get("error"), output.get("message")] if isinstance(output, dict) else [output]
    yield from (text for text in told if isinstance(text, str))
