"""Storing the stream of a run that has ended, piece by piece, so that it can be replayed from here."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from receiver import backoff, errors
from receiver.tasks import failing
from receiver.tasks.context import Context
from receiver.upstream import routes
from storage import events, jobs, runs, transitions

#: Events and characters that are stored at once.
PIECE, PIECE_SIZE = 500, 1 << 20
#: Statuses that say that there is no such stream, where they speak of just this run.
GONE = frozenset({404, 410})


class Store:
    """What is stored of a run's stream, and the piece of it that is not yet."""

    def __init__(self, context: Context, claim: jobs.Claim, held: events.Held) -> None:
        self.held = held
        self.has_grown = False
        self._context = context
        self._claim = claim
        self._piece: list[events.Event] = []
        self._size = 0

    async def take(self, event: events.Event) -> None:
        """The next event. Raises Fenced."""
        self._piece.append(event)
        self._size += len(event.data)
        if len(self._piece) >= PIECE or self._size >= PIECE_SIZE:
            await self.flush()

    async def flush(self) -> None:
        """Commits what there is. Raises Fenced."""
        if self._piece:
            await self._context.database.write(transitions.keep, self._claim, self._piece, self._context.clock())
            self.held = self.held.grown(self._piece)
            self._piece, self._size, self.has_grown = [], 0, True


async def capture(context: Context, claim: jobs.Claim) -> None:
    """Reads the stream on from the last stored event. What is cut is resumed by the next claim."""
    run = await context.database.read(runs.find, claim.run_id)
    if run is None or run.upstream_id is None or run.captured_at is not None or run.pruned_at is not None:
        await context.database.write(jobs.done, claim)
        return
    store = Store(context, claim, await context.database.read(events.held, run.id))
    failure = await _read(context, run.upstream_id, store)
    await store.flush()
    if store.held.is_full:
        full = f"it is longer than what is kept of one; the last event is {store.held.last}"
        await context.database.write(transitions.captured, claim, full, context.clock())
    elif failure is None:
        # Every run has at least its end, so an empty stream is one that the upstream keeps no longer.
        note = None if store.held.count else "the upstream has no event of it any more"
        await context.database.write(transitions.captured, claim, note, context.clock())
    elif store.has_grown:
        due_at = context.clock() + backoff.delay(1, context.timing.backoff, context.timing.backoff_most)
        await context.database.write(jobs.again, claim, due_at)
    else:
        await _failed(context, claim, run, failure)


async def _read(context: Context, upstream_id: str, store: Store) -> errors.UpstreamError | None:
    """Takes what comes, to the end of the run or as much as is kept; what the stream broke of, where it did."""
    timing, skipped = context.timing, context.telemetry.skipped
    try:
        async with (
            asyncio.timeout(timing.capture),
            context.upstream.events(
                upstream_id, store.held.last, idle=timing.capture_idle, skipped=skipped
            ) as found,
        ):
            async for event in found:
                await store.take(event)
                if store.held.is_full:
                    return None
    except errors.UpstreamError as failure:
        return failure
    except TimeoutError:
        return errors.NoAnswer(routes.EVENTS, f"the stream did not end within {timing.capture:g} s")
    return None


async def _failed(context: Context, claim: jobs.Claim, run: runs.Run, failure: errors.UpstreamError) -> None:
    """Nothing came. Where the list route answers this says nothing about the house, whatever the status.

    A stream that is gone, or that could not be read for a day, is given up: the run itself is stored.
    """
    if not await failing.list_answers(context):
        raise failure
    now = context.clock()
    status = failure.status if isinstance(failure, errors.Answered) else None
    is_over = now - (run.settled_at or now) >= timedelta(seconds=context.timing.capture_for)
    if status in GONE or is_over:
        why = "the upstream has no such stream" if status in GONE else f"it could not be read: {failure.summary}"
        context.telemetry.log.warning("stream_not_captured", run_id=run.id, reason=failure.summary)
        await context.database.write(transitions.captured, claim, why, now)
        return
    context.telemetry.log.warning("stream_broke", run_id=run.id, error=failure.summary)
    await failing.back_off(context, claim, failure, now)
