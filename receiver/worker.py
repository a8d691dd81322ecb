"""The worker: claims jobs, runs their tasks, settles what becomes of them; drains when it is told to stop.

This is the one place that knows every failure of a task: what a task cannot decide ends here as a back-off or
a pause, and the job is never lost.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from receiver import backoff, clock, errors, rounds, tasks
from storage import errors as storage_errors
from storage import jobs, states, transitions

#: Seconds between two looks at the jobs, however often something is committed.
PACE = 0.01


class Worker:
    """Up to `concurrency` jobs at once. `run` goes on until `stop`, then drains."""

    def __init__(self, context: tasks.Context, concurrency: int) -> None:
        self._clock = clock.Watched(context.clock)
        self._context = replace(context, clock=self._clock)
        self._concurrency = concurrency
        self._owner = secrets.token_hex(6)
        self._running: dict[asyncio.Task[None], jobs.Claim] = {}
        self._stopping = asyncio.Event()
        self._freed = asyncio.Event()

    @property
    def _notifies(self) -> bool:
        """Whether it can send notifications."""
        return self._context.notifier is not None

    def stop(self) -> None:
        """Claims nothing more; `run` returns once what is under way is done, or the drain time is over."""
        self._stopping.set()
        self._freed.set()

    async def run(self) -> None:
        """Works until told to stop."""
        await self._ensure_sweep()
        async with asyncio.TaskGroup() as group:
            beating = group.create_task(self._beat())
            while not self._stopping.is_set():
                await self._turn(group)
            await self._drain()
            beating.cancel()

    async def _ensure_sweep(self) -> None:
        """The sweep is a row like any other job: it is wished once and comes due for ever."""
        wish = jobs.Wish(states.Kind.SWEEP, "", self._context.clock(), hurry=False)
        while not self._stopping.is_set():
            try:
                await self._context.database.write(jobs.wish, [wish])
            except storage_errors.Unavailable as trouble:
                await self._pass_over(trouble)
            else:
                return

    async def _turn(self, group: asyncio.TaskGroup) -> None:
        """Claims what is due and fits, or waits for a reason to look again."""
        wake = self._context.database.next_commit()
        self._freed.clear()
        waits: list[float] = []
        trouble = await rounds.outcome(self._look(group, waits))
        if trouble is not None:
            # A row that cannot be read ends this look, not the worker.
            await self._pass_over(trouble)
            return
        wait = waits[0]
        if wait > 0:
            freed = asyncio.ensure_future(self._freed.wait())
            reasons: list[asyncio.Future[Any]] = [wake, freed]
            await asyncio.wait(reasons, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            freed.cancel()
            await asyncio.sleep(PACE)

    async def _look(self, group: asyncio.TaskGroup, waits: list[float]) -> None:
        """Takes on due jobs; adds the seconds to wait before the next look to `waits`.

        What asks the backend, and what reads streams, have places of their own: neither stands in the way of
        exec and settle, however slowly they are answered. The backend's do not obey the upstream's pause, and are
        left to other workers where this one does not know the backend's address. Nor do
        exec and settle stand in the way of the sweep and of cancels for ever: these have one place beside them.
        """
        now, asked = self._context.clock(), clock.elapsed()
        seen = await self._context.database.read(transitions.outlook, now)
        self._clock.correct(seen.at, clock.elapsed() - asked)
        paused_until, half = seen.state.paused_until, max(1, self._concurrency // 2)
        # While the upstream is in trouble one job goes ahead and tries.
        is_well = seen.state.pause_streak == 0
        places = self._concurrency if is_well else 1
        upstream_at = _after(seen.upstream_due_at, paused_until)
        unhurried_at = _after(seen.unhurried_due_at, paused_until)
        stream_at = _after(seen.stream_due_at, paused_until)
        upstream = await self._fill(group, states.UPSTREAM_LANE, places, upstream_at)
        unhurried = await self._fill(group, states.UNHURRIED_LANE, 1 if is_well else 0, unhurried_at)
        tells = half if self._notifies else 0
        backend = await self._fill(group, states.BACKEND_LANE, tells, seen.backend_due_at)
        stream = await self._fill(group, states.STREAM_LANE, half if is_well else 0, stream_at)
        waits.append(min(upstream, unhurried, backend, stream))

    async def _fill(
        self, group: asyncio.TaskGroup, lane: Sequence[int], places: int, due_at: datetime | None
    ) -> float:
        """Takes on the due jobs of a lane, the first of which is due at `due_at`; how long to wait as above."""
        now, timing = self._context.clock(), self._context.timing
        free = places - sum(states.PRIORITY[claim.kind] in lane for claim in self._running.values())
        if due_at is None or free <= 0 or self._stopping.is_set():
            return timing.poll
        if due_at > now:
            return min(timing.poll, (due_at - now).total_seconds())
        until = now + timedelta(seconds=timing.lease)
        claims = await self._context.database.write(
            jobs.claim, now=now, until=until, owner=self._owner, limit=free, lane=lane
        )
        for claim in claims:
            self._take_on(group, claim)
        for job_id in claims.unread:
            self._context.telemetry.log.error("job_unreadable", job_id=job_id)
        return 0

    def _take_on(self, group: asyncio.TaskGroup, claim: jobs.Claim) -> None:
        task = group.create_task(self._work(claim))
        self._running[task] = claim
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._freed.set()

    async def _work(self, claim: jobs.Claim) -> None:
        """Carries a claim out. What it raises is written to its job, or was another worker's business."""
        failure = await rounds.outcome(self._carry_out(claim))
        if failure is None:
            return
        self._tell(claim, failure)
        if not isinstance(failure, storage_errors.Fenced):
            await self._release(claim, failure)

    async def _carry_out(self, claim: jobs.Claim) -> None:
        await tasks.run(self._context, claim)
        await tasks.answered(self._context)

    def _tell(self, claim: jobs.Claim, failure: Exception) -> None:
        log = self._context.telemetry.log.bind(kind=claim.kind.value, run_id=claim.run_id or None)
        if isinstance(failure, errors.UpstreamError):
            log.warning("job_failed", error=failure.summary, failures=claim.failures + 1)
        elif isinstance(failure, storage_errors.Fenced):
            log.info("job_fenced", reason=str(failure))
        elif isinstance(failure, storage_errors.Unavailable):
            log.warning("job_waits_for_database", reason=str(failure))
        else:
            log.error("job_broke", exc_info=failure)

    async def _release(self, claim: jobs.Claim, failure: Exception) -> None:
        """Frees the job to come due again. Tries on while the database is away: a lease lasts long."""
        for attempt in itertools.count(1):
            trouble = await rounds.outcome(self._free(claim, failure))
            if trouble is None or isinstance(trouble, storage_errors.Fenced):
                return
            if isinstance(trouble, storage_errors.Unavailable):
                if self._stopping.is_set():
                    return
                await self._pass_over(trouble, attempt)
                continue
            self._context.telemetry.log.error("job_release_broke", exc_info=trouble)
            if attempt > 3:
                return
            failure = trouble

    async def _free(self, claim: jobs.Claim, failure: Exception) -> None:
        if isinstance(failure, errors.UpstreamError):
            await tasks.failed(self._context, claim, failure)
        else:
            await self._fail(claim, failure)

    async def _fail(self, claim: jobs.Claim, failure: Exception) -> None:
        now = self._context.clock()
        due_at = now + backoff.after_failure(self._context.timing, claim.failures)
        error = f"{type(failure).__name__}: {failure}"
        await self._context.database.write(jobs.failed, claim, due_at, error=error, now=now)

    async def _pass_over(self, trouble: Exception, attempt: int = 1) -> None:
        """Waits a moment, since the database is away, or something in it cannot be read."""
        if isinstance(trouble, storage_errors.Unavailable):
            self._context.telemetry.log.warning("database_away", reason=str(trouble))
        else:
            self._context.telemetry.log.error("worker_look_broke", exc_info=trouble)
        await asyncio.sleep(backoff.delay(attempt, 0.2, 5.0).total_seconds())

    async def _beat(self) -> None:
        """Renews the leases of what is under way and says that a worker is alive."""
        while True:
            latest = self._clock.latest
            now, timing = self._context.clock(), self._context.timing
            until = now + timedelta(seconds=timing.lease)
            claims = list(self._running.values())
            ok_at, rate_limit = self._context.telemetry.heard
            log = self._context.telemetry.log
            try:
                beaten = self._context.database.write(
                    transitions.beat,
                    claims,
                    until,
                    now,
                    latest,
                    ok_at,
                    rate_limit,
                    notifies=self._notifies,
                    is_shared=self._clock.is_shared,
                )
                if gone_back := await beaten:
                    self._clock.latest = now
                    log.warning("clock_went_back", seconds=gone_back.total_seconds())
            except storage_errors.Unavailable as trouble:
                log.warning("heartbeat_missed", reason=str(trouble))
            await asyncio.sleep(timing.heartbeat)

    async def _drain(self) -> None:
        """Lets jobs under way finish for a while; the others keep their rows and come due again."""
        if not self._running:
            return
        running = dict(self._running)
        _, late = await asyncio.wait(running, timeout=self._context.timing.drain)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
            claims = [running[task] for task in late]
            await self._context.database.write(jobs.give_back, claims, self._context.clock())


def _after(due_at: datetime | None, pause: datetime | None) -> datetime | None:
    """When what is due may be done at the earliest."""
    return due_at if due_at is None or pause is None else max(due_at, pause)
