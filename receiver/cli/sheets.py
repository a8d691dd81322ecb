"""One thing as people see it, whole."""

from __future__ import annotations

from rich.text import Text

from receiver import shapes
from receiver.cli import figures, tables
from storage import states

#: What is promised, in words.
_EXECUTIONS = {
    states.Execution.EXACTLY_ONCE: "exactly once",
    states.Execution.AT_MOST_ONCE: "at most once (one call created and started it)",
}


def run(found: shapes.FullRun) -> None:
    """One run with all that was asked and came back."""
    out = tables.console()
    out.print(tables.facts([(name, value) for name, value in _run(found) if str(value) != figures.NONE]))
    for name, text in (
        ("prompt", found.prompt),
        ("guidance", found.guidance),
        ("instructions", found.instructions),
        ("summary", found.summary),
        ("output", found.output),
    ):
        if text:
            out.print(Text(f"\n{name}", "bold"))
            out.print(Text(figures.safe(text)), soft_wrap=not out.is_terminal)


def _run(found: shapes.FullRun) -> list[tuple[str, tables.Cell]]:
    tags = " ".join(f"{key}={value}" for key, value in found.tags.items())
    reason = figures.safe(found.failure_reason)
    return [
        ("run", found.id),
        ("upstream", found.upstream_id or figures.NONE),
        ("state", tables.state(found.status)),
        ("settled by", found.settled_by or figures.NONE),
        ("failed because", f"{reason} (from {found.failure_source})" if found.failure_source else reason),
        ("agent", found.agent_id or figures.NONE),
        ("model", figures.line(found.model)),
        ("objects", figures.line(" ".join(found.object_ids or ()) or None)),
        ("tags", figures.line(tags) if tags else figures.NONE),
        ("origin", f"{found.origin} by {found.submitted_by}"),
        ("execution", _EXECUTIONS[found.execution] if found.execution else figures.NONE),
        ("idempotency key", figures.line(found.idempotency_key)),
        ("accepted", figures.instant(found.accepted_at)),
        ("created", figures.instant(found.created_at)),
        ("started", figures.instant(found.started_at)),
        ("completed", figures.instant(found.completed_at)),
        ("settled", figures.instant(found.settled_at)),
        ("expected by", figures.NONE if found.settled_at else figures.instant(found.expected_by)),
        ("cancel wished", figures.instant(found.cancel_requested_at)),
        ("content", f"removed {figures.instant(found.pruned_at)}" if found.pruned_at else figures.NONE),
        ("stream", _stream(found)),
        ("missing since", figures.instant(found.missing_since)),
        ("took", figures.duration(found.duration_ms)),
        ("cost", figures.dollars(found.cost_micros)),
        ("tokens", _tokens(found)),
        ("steps", figures.count(found.step_count)),
        ("tool calls", figures.count(found.tool_calls)),
        ("watched", "yes" if found.watched else "no"),
        ("backend", figures.NONE if found.notification is None else _told(found.notification)),
    ]


def _told(sent: shapes.Notification) -> str:
    """How telling the backend stands."""
    tries = "1 try" if sent.attempts == 1 else f"{sent.attempts:,} tries"
    match sent.state:
        case "delivered":
            how = f"told at {figures.instant(sent.delivered_at)}, answered {sent.last_status}"
        case "stopped":
            how = "given up; `runledger jobs retry --kind notify` tries again"
        case _:
            how = "not told yet"
    remark = f": {figures.line(sent.last_error)}" if sent.last_error else ""
    return f"{how} ({tries}){remark}"


def _stream(found: shapes.Run) -> str:
    """Since when its events are stored, and what is missing of them."""
    if found.captured_at is None:
        return figures.NONE
    note = "" if found.capture_note is None else f", not whole: {found.capture_note}"
    return f"captured {figures.instant(found.captured_at)}{note}"


def _tokens(found: shapes.RunLine) -> str:
    if found.input_tokens is None and found.output_tokens is None:
        return figures.NONE
    return f"{figures.count(found.input_tokens)} in, {figures.count(found.output_tokens)} out"


def delivery(found: shapes.DeliveryWithBody) -> None:
    """One delivery, its headers, its body."""
    pairs: list[tuple[str, tables.Cell]] = [
        ("delivery", found.id),
        ("verdict", tables.state(found.verdict)),
        ("road", found.road),
        ("run", found.run_id or figures.NONE),
        ("event", " ".join(each for each in (found.event_id, found.event_type) if each) or figures.NONE),
        ("reason", figures.safe(found.reason)),
        ("duplicate of", found.duplicate_of or figures.NONE),
        ("repeats", figures.count(found.repeats)),
        ("received", figures.instant(found.received_at)),
        ("from", found.remote_addr or figures.NONE),
        ("signed with", found.secret_used or figures.NONE),
        ("SHA-256", found.body_sha256),
    ]
    out = tables.console()
    out.print(tables.facts(pairs))
    out.print(Text("\nheaders", "bold"))
    out.print(tables.facts([(figures.line(name), figures.line(value)) for name, value in found.headers.items()]))
    out.print(Text("\nbody", "bold"))
    out.print(Text(_body(found)))


def _body(found: shapes.DeliveryWithBody) -> str:
    if found.text is not None:
        return figures.safe(found.text)
    return f"{found.size:,} bytes, {'not UTF-8' if found.body else 'removed'}"
