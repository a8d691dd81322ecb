"""Fetch the details of a run and store its result."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

import anyio

from receiver import errors, timeouts
from receiver.upstream import client, payloads, routes
from receiver.worker.context import Context
from storage import merkle, states
from storage.repositories import documents, jobs, runs
from storage.transitions import settling

#: Tries at parsing an answer whose parser process does not finish.
PARSE_TRIES = 3
#: The bytes of an answer up to which compressing and hashing it takes about as long as handing it to a thread.
SMALL = 16_384


async def settle(context: Context, claim: jobs.Claim) -> None:
    """Fetch the details. An ended run is stored, a live one is rescheduled, an unknown one waits."""
    run = await context.database.quick_read(runs.find, claim.run_id)
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
        async with fetch(context, claim, upstream_id) as (shown, result):
            if result is None:
                await _alive(context, claim, run, shown, started)
            else:
                await _record(context, claim, run, result, started)
    except errors.UpstreamStatusError as failure:
        if failure.status != 404 or failure.route != routes.DETAILS:
            raise
        await _missing(context, claim, run, failure, started)


@asynccontextmanager
async def fetch(
    context: Context, claim: jobs.Claim, upstream_id: str
) -> AsyncIterator[tuple[payloads.Status, settling.Result | None]]:
    """Fetch a run's details, or its status where they can never be read, with the result of an ended run.

    Large details hold their memory slot within the block. Raises UpstreamError.
    """
    async with AsyncExitStack() as stack:
        shown: payloads.Status
        result = None
        try:
            fetched = await stack.enter_async_context(context.upstream.details(upstream_id))
        except errors.INVALID_DETAILS as failure:
            if not _is_final(failure, claim):
                raise
            shown = await context.upstream.status(upstream_id)
            if shown.status in states.TERMINAL:
                result = _from_status(shown, failure, context.clock())
        else:
            shown = fetched.details
            if shown.status in states.TERMINAL:
                if len(fetched.body) <= SMALL:
                    result = _prepare(fetched, context.clock())
                else:
                    result = await anyio.to_thread.run_sync(_prepare, fetched, context.clock())
        yield shown, result


def _is_final(failure: errors.InvalidResponse, claim: jobs.Claim) -> bool:
    """Return whether the details can never be read. A parser process may also have been ended by chance."""
    return not isinstance(failure, errors.ParserLimitExceeded) or claim.failures >= PARSE_TRIES - 1


async def _alive(
    context: Context,
    claim: jobs.Claim,
    run: runs.Run,
    shown: payloads.Status,
    started: datetime,
) -> None:
    """Record that the run is still alive and reschedule; for a settled run this is a contradiction."""
    if run.is_terminal:
        await _contradicted(context, claim, run, shown.status.value, started)
        return
    now = context.clock()
    due_at = now + timeouts.delay(claim.attempts, context.timing.alive, context.timing.alive_most)
    await context.database.write(
        settling.record_alive, claim, shown.status, shown.measures.started_at, now, due_at, started
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
    await context.upstream.list(limit=1)  # where this fails, the 404 may be a general failure
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


def _from_status(shown: payloads.Status, failure: errors.InvalidResponse, now: datetime) -> settling.Result:
    """Build the result of an ended run from `/status`, with the unreadable bytes as its document."""
    problem = _WHY[type(failure)]
    document_bytes = b"" if isinstance(failure, errors.ResponseTooLarge) else failure.body
    document = documents.compress(document_bytes, now, f"{problem}: {failure.message}")
    return settling.Result(
        shown.status, shown.measures, document=document, digests=merkle.salted_digest("document", document_bytes)
    )


_WHY: dict[type[errors.InvalidResponse], str] = {
    errors.ResponseTooLarge: "too large",
    errors.ResponseTooDeep: "too deep",
    errors.ParserLimitExceeded: "too costly",
}


def _prepare(fetched: client.Fetched, now: datetime) -> settling.Result:
    """Build all of a result that needs no database: compressed, hashed, in our own types."""
    details, measures = fetched.details, fetched.details.measures
    texts = {"output": measures.output, "summary": measures.summary, "failureReason": measures.failure_reason}
    digests = [sealed for name, text in texts.items() for sealed in merkle.salted_digest(name, _bytes(text))]
    return settling.Result(
        details.status,
        measures,
        details.steps,
        details.usage,
        documents.compress(fetched.body, now, details.parse_error),
        [*digests, *merkle.salted_digest("document", fetched.body)],
        [*documents.root("steps", details.steps), *documents.root("usage", details.usage)],
    )


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
