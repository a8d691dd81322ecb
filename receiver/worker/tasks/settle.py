"""Fetch the details of a run and store its result."""

from __future__ import annotations

from datetime import datetime, timedelta

import anyio

from receiver import errors, timeouts
from receiver.upstream import audit_trail, client, payloads
from receiver.worker.context import Context
from receiver.worker.tasks import failures
from storage import bounds, merkle, states
from storage.repositories import documents, jobs, runs
from storage.transitions import settling

#: Tries at parsing an answer whose parser process does not finish.
PARSE_TRIES = 3


async def settle(context: Context, claim: jobs.Claim) -> None:
    """Fetch the details. An ended run is stored, a live one is rescheduled, an unknown one waits."""
    run = await context.database.read(runs.find, claim.run_id)
    now = context.clock()
    if run is None or (run.is_terminal and run.upstream_id is None):
        await context.database.write(jobs.complete, claim)
    elif run.upstream_id is None or run.status is states.ACCEPTED:
        # Another job is about to commit its upstream id, or to adopt it.
        due_at = now + timeouts.delay(claim.attempts, context.timing.backoff, context.timing.alive_most)
        await context.database.write(jobs.reschedule, claim, due_at)
    elif run.is_terminal and run.refresh_requested_at is None:
        await _fetch_again(context, claim, run, run.upstream_id)
    else:
        await _fetch(context, claim, run, run.upstream_id)


async def _fetch_again(context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str) -> None:
    """Fetch an incomplete settled run again at the ages of `Timing.refetch`; complete the job of any other."""
    settled_at = run.settled_at or run.accepted_at
    due_at = None if run.is_complete else next_fetch(context.timing, settled_at, run.asked_at or settled_at)
    if due_at is None:
        await context.database.write(jobs.complete, claim)
    elif due_at > context.clock():
        await context.database.write(jobs.reschedule, claim, due_at)
    else:
        await _fetch(context, claim, run, upstream_id)


def next_fetch(timing: timeouts.Timing, settled_at: datetime, last: datetime) -> datetime | None:
    """Return when an incomplete run is fetched next after `last`; None after the last try."""
    ages = [settled_at + timedelta(seconds=age) for age in timing.refetch]
    return next((due_at for due_at in ages if due_at > last), None)


async def _fetch(context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str) -> None:
    started = context.clock()
    try:
        async with context.upstream.details(upstream_id) as fetched:
            await _take(context, claim, run, fetched, started)
    except errors.INVALID_DETAILS as failure:
        if not is_final(failure, claim):
            raise
        await _settle_from_status(context, claim, run, upstream_id, failure, started)
    except errors.UpstreamStatusError as failure:
        if failure.status != 404:
            raise
        await _missing(context, claim, run, failure, started)


def is_final(failure: errors.InvalidResponse, claim: jobs.Claim) -> bool:
    """Return whether the details can never be read. A parser process may also have been ended by chance."""
    return not isinstance(failure, errors.ParserLimitExceeded) or claim.failures >= PARSE_TRIES - 1


async def _take(
    context: Context, claim: jobs.Claim, run: runs.Run, fetched: client.Fetched, started: datetime
) -> None:
    """Store the fetched details while they hold their memory slot."""
    details = fetched.details
    if details.status in states.TERMINAL:
        result = await anyio.to_thread.run_sync(prepare, fetched, context.clock())
        await _record(context, claim, run, result, started)
    else:
        await _alive(context, claim, run, details, started)


async def _alive(
    context: Context,
    claim: jobs.Claim,
    run: runs.Run,
    shown: payloads.Details | payloads.Status,
    started: datetime,
) -> None:
    """Record that the run is still alive and reschedule; for a settled run this is a contradiction."""
    if run.is_terminal:
        await _contradicted(context, claim, run, shown.status.value, started)
        return
    now = context.clock()
    due_at = now + timeouts.delay(claim.attempts, context.timing.alive, context.timing.alive_most)
    await context.database.write(
        settling.record_alive, claim, shown.status, shown.started_at, now, due_at, started
    )


async def _contradicted(
    context: Context, claim: jobs.Claim, run: runs.Run, reported: str, started: datetime
) -> None:
    """Record that a settled run is shown as alive or missing. The stored result stays."""
    now = context.clock()
    due_at = None if run.is_complete else next_fetch(context.timing, run.settled_at or run.accepted_at, now)
    await context.database.write(settling.record_contradiction, claim, reported, now, due_at, started)


async def _record(
    context: Context, claim: jobs.Claim, run: runs.Run, result: settling.Result, started: datetime
) -> None:
    """Store the result, and reschedule where it is incomplete."""
    now = context.clock()
    complete = result.measures.is_complete
    due_at = None if complete else next_fetch(context.timing, run.settled_at or now, now)
    if await context.database.write(settling.record_result, claim, result, now, due_at, started):
        context.telemetry.settled(run, claim.trigger or states.Source.SWEEP, now)


async def _missing(
    context: Context, claim: jobs.Claim, run: runs.Run, failure: errors.UpstreamStatusError, started: datetime
) -> None:
    """Handle a 404 while the list route answers.

    The run is lost only after a day of them, and while the upstream knows another run.
    """
    trouble = await failures.list_failure(context)
    if trouble is not None:
        raise trouble
    if run.is_terminal:
        await _contradicted(context, claim, run, settling.MISSING, started)
        return
    now, timing = context.clock(), context.timing
    since = run.missing_since or now
    lost = now - since >= timedelta(seconds=timing.lost) and await _upstream_knows_another(context, run)
    due_at = now + timeouts.after_failure(timing, claim.failures)
    await context.database.write(settling.record_missing, claim, now, due_at, str(failure), lost=lost)


async def _upstream_knows_another(context: Context, run: runs.Run) -> bool:
    other = await context.database.read(runs.other_upstream_id, run.id)
    if other is None:
        return False
    try:
        await context.upstream.status(other)
    except errors.UpstreamError:
        return False
    return True


async def _settle_from_status(
    context: Context,
    claim: jobs.Claim,
    run: runs.Run,
    upstream_id: str,
    failure: errors.InvalidResponse,
    started: datetime,
) -> None:
    """Settle from `/status`, because the details can never be read; the document records why."""
    shown = await context.upstream.status(upstream_id)
    if shown.status in states.TERMINAL:
        await _record(context, claim, run, from_status(shown, failure, context.clock()), started)
    else:
        await _alive(context, claim, run, shown, started)


def from_status(shown: payloads.Status, failure: errors.InvalidResponse, now: datetime) -> settling.Result:
    """Build the result of an ended run from `/status`, with the unreadable bytes as its document."""
    problem = _WHY[type(failure)]
    measures = settling.Measures(
        started_at=shown.started_at, completed_at=shown.completed_at, duration_ms=shown.duration_ms
    )
    document_bytes = b"" if isinstance(failure, errors.ResponseTooLarge) else failure.body
    document = documents.compress(document_bytes, now, f"{problem}: {failure.message}")
    return settling.Result(
        shown.status, measures, document=document, digests=merkle.salted_digest("document", document_bytes)
    )


_WHY: dict[type[errors.InvalidResponse], str] = {
    errors.ResponseTooLarge: "too large",
    errors.ResponseTooDeep: "too deep",
    errors.ParserLimitExceeded: "too costly",
}


def prepare(fetched: client.Fetched, now: datetime) -> settling.Result:
    """Build all of a result that needs no database: compressed, hashed, in our own types."""
    details = fetched.details
    measures = settling.Measures(
        model=_model(details),
        created_at=details.created_at,
        started_at=details.started_at,
        completed_at=details.completed_at,
        duration_ms=details.duration_ms,
        input_tokens=details.input_tokens,
        output_tokens=details.output_tokens,
        tool_calls=details.tool_calls,
        cost_micros=details.cost_micros,
        output=details.output,
        summary=details.summary,
        failure_reason=details.failure_reason,
        failure_source=details.failure_source,
    )
    texts = {"output": details.output, "summary": details.summary, "failureReason": details.failure_reason}
    digests = [sealed for name, text in texts.items() for sealed in merkle.salted_digest(name, _bytes(text))]
    steps = [_step(at, audit_trail.encoded_step(step)) for at, step in enumerate(details.steps)]
    usage = [_usage(at, audit_trail.encoded_entry(entry)) for at, entry in enumerate(details.usage)]
    return settling.Result(
        details.status,
        measures,
        steps,
        usage,
        documents.compress(fetched.body, now, details.parse_error),
        [*digests, *merkle.salted_digest("document", fetched.body)],
        [*documents.root("steps", steps), *documents.root("usage", usage)],
    )


def _model(details: payloads.Details) -> str | None:
    """Return the model of the run, else the one of the first charged call."""
    named = [details.model, *(entry.model for entry in details.usage)]
    return next((name[: bounds.NAME] for name in named if name), None)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _step(position: int, step: audit_trail.Step) -> documents.Step:
    return documents.Step(
        position,
        step.upstream_id,
        step.type,
        step.content,
        step.tool_name,
        step.tool_input,
        step.tool_output,
        step.duration_ms,
        step.timestamp,
        merkle.salt(),
    )


def _usage(position: int, entry: audit_trail.UsageEntry) -> documents.Usage:
    return documents.Usage(
        position,
        entry.upstream_id,
        entry.kind,
        entry.service,
        entry.endpoint,
        entry.method,
        entry.status_code,
        entry.cost_micros,
        entry.prompt_tokens,
        entry.completion_tokens,
        entry.total_tokens,
        entry.model,
        entry.timestamp,
        entry.metadata,
        merkle.salt(),
    )
