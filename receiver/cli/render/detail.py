"""One run or delivery for people, in full."""

from __future__ import annotations

from rich.text import Text

from receiver.cli.render import format as render_format
from receiver.cli.render import table, terminal
from receiver.schemas import notification, responses
from storage import states

#: The promise about executions, in words.
_EXECUTIONS = {
    states.Execution.EXACTLY_ONCE: "exactly once",
    states.Execution.AT_MOST_ONCE: "at most once (one call created and started it)",
}


def run(found: notification.FullRun) -> None:
    """Print one run with its prompt and its result."""
    out = terminal.console()
    facts = [(name, value) for name, value in _run(found) if value not in (None, render_format.NONE)]
    out.print(table.facts(facts))
    for name, text in (
        ("prompt", found.prompt),
        ("guidance", found.guidance),
        ("instructions", found.instructions),
        ("summary", found.summary),
        ("output", found.output),
    ):
        if text:
            out.print(Text(f"\n{name}", "bold"))
            out.print(Text(render_format.safe(text)), soft_wrap=not out.is_terminal)


def _run(found: notification.FullRun) -> list[tuple[str, table.Cell]]:
    tags = " ".join(f"{key}={value}" for key, value in found.tags.items())
    reason = render_format.safe(found.failure_reason)
    return [
        ("run", found.id),
        ("upstream", found.upstream_id),
        ("state", table.state(found.status)),
        ("settled by", found.settled_by),
        ("failed because", f"{reason} (from {found.failure_source})" if found.failure_source else reason),
        ("agent", None if found.agent_id is None else render_format.line(found.agent_id)),
        ("model", render_format.line(found.model)),
        ("objects", render_format.line(" ".join(found.object_ids or ()) or None)),
        ("tags", render_format.line(tags or None)),
        ("origin", f"{found.origin} by {found.submitted_by}"),
        ("execution", _EXECUTIONS[found.execution] if found.execution else None),
        ("again of", found.again_of),
        ("review", None if found.review is None else table.state(found.review)),
        ("idempotency key", render_format.line(found.idempotency_key)),
        ("accepted", render_format.instant(found.accepted_at)),
        ("created", render_format.instant(found.created_at)),
        ("started", render_format.instant(found.started_at)),
        ("completed", render_format.instant(found.completed_at)),
        ("settled", render_format.instant(found.settled_at)),
        ("expected by", None if found.settled_at else render_format.instant(found.expected_by)),
        ("cancel requested", render_format.instant(found.cancel_requested_at)),
        ("content", f"removed {render_format.instant(found.pruned_at)}" if found.pruned_at else None),
        ("stream", _stream(found)),
        ("missing since", render_format.instant(found.missing_since)),
        ("took", render_format.duration(found.duration_ms)),
        ("cost", render_format.dollars(found.cost_micros)),
        ("tokens", _tokens(found)),
        ("steps", render_format.count(found.step_count)),
        ("tool calls", render_format.count(found.tool_calls)),
        ("watched", "yes" if found.watched else "no"),
        ("backend", _notification(found.notification)),
    ]


def _notification(sent: notification.Notification | None) -> str | None:
    if sent is None:
        return None
    tries = "1 try" if sent.attempts == 1 else f"{sent.attempts:,} tries"
    match sent.state:
        case "delivered":
            how = f"notified at {render_format.instant(sent.delivered_at)}, answered {sent.last_status}"
        case "stopped":
            how = "given up; `runledger jobs retry --kind notify` tries again"
        case _:
            how = "not notified yet"
    remark = f": {render_format.line(sent.last_error)}" if sent.last_error else ""
    return f"{how} ({tries}){remark}"


def _stream(found: responses.Run) -> str | None:
    """Return when the events of the run were stored, and which are missing."""
    if found.captured_at is None:
        return None
    note = "" if found.capture_note is None else f", not whole: {found.capture_note}"
    return f"captured {render_format.instant(found.captured_at)}{note}"


def _tokens(found: responses.RunLine) -> str | None:
    if found.input_tokens is None and found.output_tokens is None:
        return None
    return f"{render_format.count(found.input_tokens)} in, {render_format.count(found.output_tokens)} out"


def delivery(found: responses.DeliveryWithBody) -> None:
    """Print one delivery with its headers and its body."""
    pairs: list[tuple[str, table.Cell]] = [
        ("delivery", found.id),
        ("verdict", table.state(found.verdict)),
        ("source", found.source),
        ("run", found.run_id),
        ("event", " ".join(each for each in (found.event_id, found.event_type) if each) or None),
        ("reason", render_format.safe(found.reason)),
        ("duplicate of", found.duplicate_of),
        ("repeats", render_format.count(found.repeats)),
        ("received", render_format.instant(found.received_at)),
        ("from", found.remote_addr),
        ("signed with", found.secret_used),
        ("SHA-256", found.body_sha256),
    ]
    out = terminal.console()
    out.print(table.facts(pairs))
    out.print(Text("\nheaders", "bold"))
    headers = found.headers.items()
    out.print(table.facts([(render_format.line(name), render_format.line(value)) for name, value in headers]))
    out.print(Text("\nbody", "bold"))
    absent = f"{found.size:,} bytes, {'not UTF-8' if found.body else 'removed'}"
    out.print(Text(absent if found.text is None else render_format.safe(found.text)))
