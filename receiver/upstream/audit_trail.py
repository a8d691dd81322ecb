"""The audit trail in a run's details, as it is stored: its steps and its charged calls."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from receiver.upstream import sanitize
from storage import merkle, results

MOST_STEPS = 65_536


def steps(fields: sanitize.Fields, notes: sanitize.Notes) -> tuple[results.Step, ...]:
    """Return the steps of a run's details, in order; those beyond `MOST_STEPS` are left out and noted."""
    items = _bounded(fields, "steps", f"steps beyond {MOST_STEPS}", notes)
    return tuple(_step(*each) for each in enumerate(items))


def _step(position: int, fields: sanitize.Fields) -> results.Step:
    return results.Step(
        position=position,
        upstream_id=fields.text("id"),
        type=fields.text("type"),
        content=fields.text("content"),
        tool_name=fields.name("toolName"),
        tool_input=merkle.encode(fields.anything("toolInput")),
        tool_output=merkle.encode(fields.anything("toolOutput")),
        duration_ms=fields.duration("durationMs"),
        timestamp=fields.instant("timestamp"),
        salt=merkle.salt(),
    )


def usage(fields: sanitize.Fields, notes: sanitize.Notes) -> tuple[results.Usage, ...]:
    """Return the entries of the `usage` of a run's details; those beyond `MOST_STEPS` are left out and noted."""
    items = _bounded(fields, "entries", f"usage entries beyond {MOST_STEPS}", notes)
    return tuple(_entry(*each) for each in enumerate(items))


def _entry(position: int, fields: sanitize.Fields) -> results.Usage:
    return results.Usage(
        position=position,
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
        metadata=merkle.encode(fields.anything("metadata")),
        salt=merkle.salt(),
    )


def _bounded(fields: sanitize.Fields, name: str, excess: str, notes: sanitize.Notes) -> list[sanitize.Fields]:
    items = list(fields.each(name))
    if len(items) > MOST_STEPS:
        notes.count(excess, len(items) - MOST_STEPS)
    return items[:MOST_STEPS]


def cost(entries: Sequence[results.Usage]) -> int | None:
    """Return the sum of the known costs in micro-dollars; None where none is known or the sum is absurd."""
    known = [entry.cost_micros for entry in entries if entry.cost_micros is not None]
    total = sum(known)
    return total if known and total < sanitize.MAX_INTEGER else None


def step_texts(run_steps: Sequence[results.Step]) -> Iterator[str]:
    """Yield the texts of the steps, the last step's first: what the agent wrote, then its tool's output."""
    for step in reversed(run_steps):
        yield step.content or ""
        output = json.loads(step.tool_output or "null")
        # Where the output is an object, only its error is text.
        values = [output.get("error"), output.get("message")] if isinstance(output, dict) else [output]
        yield from (text for text in values if isinstance(text, str))
