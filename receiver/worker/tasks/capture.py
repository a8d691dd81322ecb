"""Store the event stream of an ended run piece by piece, so that it can be replayed from here."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from receiver import errors, timeouts
from receiver.upstream import routes
from receiver.worker.context import Context
from receiver.worker.tasks import failures
from storage.repositories import jobs, runs, stream_events
from storage.transitions import follow_up

#: Events and characters of one piece, which is stored in one transaction.
PIECE_EVENTS, PIECE_CHARACTERS = 500, 1 << 20
#: Statuses by which the upstream says that this run has no stream.
GONE_STATUSES = frozenset({404, 410})


class StreamWriter:
    """The stored events of a run's stream, and a buffer of events that are not stored yet."""

    def __init__(self, context: Context, claim: jobs.Claim, stored: stream_events.StoredStream) -> None:
        self.stored = stored
        self.has_stored = False
        self._context = context
        self._claim = claim
        self._piece: list[stream_events.Event] = []
        self._size = 0

    async def append(self, event: stream_events.Event) -> None:
        """Add the next event. Raises LeaseLost."""
        self._piece.append(event)
        self._size += len(event.data)
        if len(self._piece) >= PIECE_EVENTS or self._size >= PIECE_CHARACTERS:
            await self.flush()

    async def flush(self) -> None:
        """Commit the buffered events. Raises LeaseLost."""
        if self._piece:
            await self._context.database.write(
                follow_up.store_events, self._claim, self._piece, self._context.clock()
            )
            self.stored = self.stored.with_events(self._piece)
            self._piece, self._size, self.has_stored = [], 0, True


async def capture(context: Context, claim: jobs.Claim) -> None:
    """Read the stream on from the last stored event. A later claim resumes where this one stops."""
    run = await context.database.read(runs.find, claim.run_id)
    if run is None or run.upstream_id is None or run.captured_at is not None or run.pruned_at is not None:
        await context.database.write(jobs.complete, claim)
        return
    store = StreamWriter(context, claim, await context.database.read(stream_events.stored_stream, run.id))
    failure = await _read(context, run.upstream_id, store)
    await store.flush()
    if store.stored.is_full:
        note_text = f"the stream is longer than the limit; the last stored event is {store.stored.last}"
        await context.database.write(follow_up.complete_capture, claim, note_text, context.clock())
    elif failure is None:
        # Each run has at least the event of its end, so an empty stream was removed upstream.
        note = None if store.stored.count else "the upstream no longer has events of this run"
        await context.database.write(follow_up.complete_capture, claim, note, context.clock())
    elif store.has_stored:
        due_at = context.clock() + timeouts.delay(1, context.timing.backoff, context.timing.backoff_most)
        await context.database.write(jobs.reschedule, claim, due_at)
    else:
        await _failed(context, claim, run, failure)


async def _read(context: Context, upstream_id: str, store: StreamWriter) -> errors.UpstreamError | None:
    """Store events up to the end of the run or up to the limit; return the error that ended the stream, if any."""
    timing, skipped = context.timing, context.telemetry.skipped
    try:
        async with (
            asyncio.timeout(timing.capture),
            context.upstream.events(
                upstream_id, store.stored.last, idle=timing.capture_idle, skipped=skipped
            ) as found,
        ):
            async for event in found:
                await store.append(event)
                if store.stored.is_full:
                    return None
    except errors.UpstreamError as failure:
        return failure
    except TimeoutError:
        return errors.UpstreamUnreachable(routes.EVENTS, f"the stream did not end within {timing.capture:g} s")
    return None


async def _failed(context: Context, claim: jobs.Claim, run: runs.Run, failure: errors.UpstreamError) -> None:
    """Handle a stream that yielded nothing while the list route answers: the failure concerns this run alone.

    A stream that is gone, or that could not be read for a day, is given up; the run itself is stored.
    """
    if await failures.list_failure(context) is not None:
        raise failure
    now = context.clock()
    is_gone = failure.status in GONE_STATUSES
    has_expired = now - (run.settled_at or now) >= timedelta(seconds=context.timing.capture_for)
    if is_gone or has_expired:
        unreadable = f"the stream could not be read: {failure.summary}"
        note_text = "the upstream has no such stream" if is_gone else unreadable
        context.telemetry.log.warning("capture_abandoned", run_id=run.id, reason=failure.summary)
        await context.database.write(follow_up.complete_capture, claim, note_text, now)
        return
    context.telemetry.log.warning("stream_interrupted", run_id=run.id, error=failure.summary)
    await failures.back_off(context, claim, str(failure), least=failure.retry_after or 0.0)
