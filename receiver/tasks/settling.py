"""Fetching what became of a run, and storing it."""

from __future__ import annotations

from datetime import datetime, timedelta

import anyio

from receiver import backoff, errors
from receiver.tasks import failing
from receiver.tasks.context import Context
from receiver.upstream import client, payloads, trail
from storage import bounds, documents, jobs, merkle, runs, states, transitions

#: Details that came, and that cannot be read.
UNREADABLE = (errors.TooLarge, errors.TooDeep, errors.TooCostly)
#: How often an answer is parsed whose process comes to no end.
PARSE_TRIES = 3


async def settle(context: Context, claim: jobs.Claim) -> None:
    """Asks for the details. Ended is stored, alive comes due again, unknown waits."""
    run = await context.database.read(runs.find, claim.run_id)
    now = context.clock()
    if run is None or (run.is_terminal and run.upstream_id is None):
        await context.database.write(jobs.done, claim)
    elif run.upstream_id is None or run.status is states.ACCEPTED:
        # Another job is about to commit its id, or to make its acquaintance.
        due_at = now + backoff.delay(claim.attempts, context.timing.backoff, context.timing.alive_most)
        await context.database.write(jobs.again, claim, due_at)
    elif run.is_terminal and run.refresh_requested_at is None:
        await _fetch_again(context, claim, run, run.upstream_id)
    else:
        await _fetch(context, claim, run, run.upstream_id)


async def _fetch_again(context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str) -> None:
    """A settled run that lacked something is fetched again at the ages of `Timing.refetch`, any other is done."""
    settled_at = run.settled_at or run.accepted_at
    due_at = None if run.is_complete else next_fetch(context.timing, settled_at, run.asked_at or settled_at)
    if due_at is None:
        await context.database.write(jobs.done, claim)
    elif due_at > context.clock():
        await context.database.write(jobs.again, claim, due_at)
    else:
        await _fetch(context, claim, run, upstream_id)


def next_fetch(timing: backoff.Timing, settled_at: datetime, last: datetime) -> datetime | None:
    """When a run that lacked something is fetched next after `last`; None once it was tried often enough."""
    ages = [settled_at + timedelta(seconds=age) for age in timing.refetch]
    return next((due_at for due_at in ages if due_at > last), None)


async def _fetch(context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str) -> None:
    began = context.clock()
    try:
        async with context.upstream.details(upstream_id) as fetched:
            await _take(context, claim, run, fetched, began)
    except errors.UNREADABLE as failure:
        if not is_final(failure, claim):
            raise
        await _settle_from_status(context, claim, run, upstream_id, failure, began)
    except errors.Answered as failure:
        if failure.status != 404:
            raise
        await _missing(context, claim, run, failure, began)


def is_final(failure: errors.Unreadable, claim: jobs.Claim) -> bool:
    """Whether the details will never be read; the process that parses them may have been ended by chance."""
    return not isinstance(failure, errors.TooCostly) or claim.failures >= PARSE_TRIES - 1


async def _take(
    context: Context, claim: jobs.Claim, run: runs.Run, fetched: client.Fetched, began: datetime
) -> None:
    """Stores what was fetched, while it keeps its place."""
    details = fetched.details
    if details.status in states.TERMINAL:
        result = await anyio.to_thread.run_sync(prepare, fetched, context.clock())
        await _record(context, claim, run, result, began)
    else:
        await _alive(context, claim, run, details, began)


async def _alive(
    context: Context,
    claim: jobs.Claim,
    run: runs.Run,
    shown: payloads.Details | payloads.Status,
    began: datetime,
) -> None:
    if run.is_terminal:
        await _contradicted(context, claim, run, shown.status.value, began)
        return
    now = context.clock()
    due_at = now + backoff.delay(claim.attempts, context.timing.alive, context.timing.alive_most)
    await context.database.write(transitions.seen_alive, claim, shown.status, shown.started_at, now, due_at, began)


async def _contradicted(
    context: Context, claim: jobs.Claim, run: runs.Run, reported: str, began: datetime
) -> None:
    """A settled run shows alive, or is not there: what stands is kept, the report noted, the question answered."""
    now = context.clock()
    due_at = None if run.is_complete else next_fetch(context.timing, run.settled_at or run.accepted_at, now)
    await context.database.write(transitions.contradicted, claim, reported, now, due_at, began)


async def _record(
    context: Context, claim: jobs.Claim, run: runs.Run, result: transitions.Result, began: datetime
) -> None:
    now = context.clock()
    complete = result.measures.is_complete
    due_at = None if complete else next_fetch(context.timing, run.settled_at or now, now)
    if await context.database.write(transitions.record, claim, result, now, due_at, began):
        context.telemetry.settled(run, claim.road or states.Road.SWEEP, now)


async def _missing(
    context: Context, claim: jobs.Claim, run: runs.Run, failure: errors.Answered, began: datetime
) -> None:
    """A 404 while the list route answers. Only after a day of them, and while another run is known, is it lost."""
    trouble = await failing.trouble_with_list(context)
    if trouble is not None:
        raise trouble
    if run.is_terminal:
        await _contradicted(context, claim, run, transitions.MISSING, began)
        return
    now, timing = context.clock(), context.timing
    since = run.missing_since or now
    lost = now - since >= timedelta(seconds=timing.lost) and await _knows_another(context, run)
    due_at = now + backoff.after_failure(timing, claim.failures)
    await context.database.write(transitions.missing, claim, now, due_at, str(failure), lost=lost)


async def _knows_another(context: Context, run: runs.Run) -> bool:
    other = await context.database.read(runs.another_known, run.id)
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
    failure: errors.Unreadable,
    began: datetime,
) -> None:
    """The details cannot be read and never will: the light route says how it ended, the document says why so."""
    shown = await context.upstream.status(upstream_id)
    if shown.status in states.TERMINAL:
        await _record(context, claim, run, from_status(shown, failure, context.clock()), began)
    else:
        await _alive(context, claim, run, shown, began)


def from_status(shown: payloads.Status, failure: errors.Unreadable, now: datetime) -> transitions.Result:
    """What `/status` tells of an ended run, with the bytes that could not be read as its document."""
    why = _WHY[type(failure)]
    measures = transitions.Measures(
        started_at=shown.started_at, completed_at=shown.completed_at, duration_ms=shown.duration_ms
    )
    kept = b"" if isinstance(failure, errors.TooLarge) else failure.body
    document = documents.packed(kept, now, f"{why}: {failure.message}")
    return transitions.Result(shown.status, measures, document=document, digests=merkle.seal("document", kept))


_WHY: dict[type[errors.Unreadable], str] = {
    errors.TooLarge: "too large",
    errors.TooDeep: "too deep",
    errors.TooCostly: "too costly",
}


def prepare(fetched: client.Fetched, now: datetime) -> transitions.Result:
    """Everything about a terminal answer that needs no database: compressed, hashed, in our own terms."""
    details = fetched.details
    measures = transitions.Measures(
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
    digests = [sealed for name, text in texts.items() for sealed in merkle.seal(name, _bytes(text))]
    steps = [_step(at, trail.encoded_step(step)) for at, step in enumerate(details.steps)]
    usage = [_usage(at, trail.encoded_entry(entry)) for at, entry in enumerate(details.usage)]
    return transitions.Result(
        details.status,
        measures,
        steps,
        usage,
        documents.packed(fetched.body, now, details.parse_error),
        [*digests, *merkle.seal("document", fetched.body)],
        [*documents.root("steps", steps), *documents.root("usage", usage)],
    )


def _model(details: payloads.Details) -> str | None:
    """The model that ran: what the run says, else what was paid for first."""
    named = [details.model, *(entry.model for entry in details.usage)]
    return next((name[: bounds.NAME] for name in named if name), None)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _step(position: int, step: trail.Step) -> documents.Step:
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


def _usage(position: int, entry: trail.UsageEntry) -> documents.Usage:
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
