"""The worker: claims jobs, runs their tasks, records the results, and drains when it has to stop.

This is the only place that handles all failures of tasks. One that a task does not handle becomes a back-off
or a pause here, and the job is never lost.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from importlib import metadata
from typing import Any

from receiver import clock, errors, poll_loop, timeouts
from receiver.worker import context as worker_context
from receiver.worker.tasks import failures, registry
from storage import errors as storage_errors
from storage import states
from storage.repositories import jobs, system_state
from storage.transitions import heartbeat as transitions_heartbeat

#: Least seconds between two looks at the jobs, however often something is committed. A burst of callbacks then
#: leaves its jobs to one claim, and a callback that comes alone waits for nothing.
PACE = 0.005


class Worker:
    """A worker that runs up to `concurrency` jobs at once: `run` works until `stop`, then drains."""

    def __init__(self, context: worker_context.Context, concurrency: int) -> None:
        self._clock = clock.TrackedClock(context.clock)
        self._context = replace(context, clock=self._clock)
        self._concurrency = concurrency
        self._can_notify = context.notifier is not None
        self._owner = secrets.token_hex(6)
        self._name, self._version = f"{socket.gethostname()}/{os.getpid()}", metadata.version("runledger")
        self._running: dict[asyncio.Task[None], jobs.Claim] = {}
        self._stopping = asyncio.Event()
        self._freed = asyncio.Event()

    def stop(self) -> None:
        """Claim no more jobs; `run` returns once the running ones are done, or the drain time is over."""
        self._stopping.set()
        self._freed.set()

    async def run(self) -> None:
        """Work until `stop` is called."""
        await self._ensure_sweep()
        async with asyncio.TaskGroup() as group:
            beating = group.create_task(self._beat())
            while not self._stopping.is_set():
                await self._turn(group)
            await self._drain()
            beating.cancel()
        await self._leave()

    async def _ensure_sweep(self) -> None:
        """Enqueue the sweep once; its job reschedules itself after each run."""
        request = jobs.JobRequest(states.Kind.SWEEP, "", self._context.clock(), urgent=False)
        while not self._stopping.is_set():
            try:
                await self._context.database.write(jobs.enqueue, [request])
            except storage_errors.Unavailable as error:
                await self._wait_after(error)
            else:
                return

    async def _turn(self, group: asyncio.TaskGroup) -> None:
        """Claim due jobs up to the free slots, or wait for a reason to look again."""
        wake = self._context.database.next_work()
        self._freed.clear()
        looked = clock.elapsed()
        wait = await poll_loop.outcome_of(self._look(group))
        if isinstance(wait, Exception):
            # An unreadable row ends this look, not the worker.
            await self._wait_after(wait)
            return
        freed = asyncio.ensure_future(self._freed.wait())
        wake_ups: list[asyncio.Future[Any]] = [wake, freed]
        await asyncio.wait(wake_ups, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        freed.cancel()
        await asyncio.sleep(looked + PACE - clock.elapsed())

    async def _look(self, group: asyncio.TaskGroup) -> float:
        """Start due jobs; return the seconds to wait before the next look.

        Jobs that call the backend and jobs that read streams have slots of their own: however slow, they do not
        delay exec and settle. Jobs that call the backend ignore the upstream's pause, and are left to
        other workers where this one has no notifier. Sweep and cancel jobs have one slot besides those of exec and
        settle, so that these cannot delay them for ever. Jobs that call nobody have one slot, and no pause.
        """
        now, asked = self._context.clock(), clock.elapsed()
        outlook = await self._context.database.quick_read(transitions_heartbeat.schedule, now)
        self._clock.correct(outlook.at, clock.elapsed() - asked)
        paused_until, half = outlook.state.paused_until, max(1, self._concurrency // 2)
        # During a pause of the upstream one job runs as a trial.
        is_well = outlook.state.pause_streak == 0
        slots = self._concurrency if is_well else 1
        upstream_at = _after(outlook.upstream_due_at, paused_until)
        unhurried_at = _after(outlook.reserved_due_at, paused_until)
        stream_at = _after(outlook.stream_due_at, paused_until)
        upstream = await self._fill(group, states.UPSTREAM_LANE, slots, upstream_at)
        unhurried = await self._fill(group, states.RESERVED_LANE, 1 if is_well else 0, unhurried_at)
        backend_slots = half if self._can_notify else 0
        backend = await self._fill(group, states.BACKEND_LANE, backend_slots, outlook.backend_due_at)
        stream = await self._fill(group, states.STREAM_LANE, half if is_well else 0, stream_at)
        local = await self._fill(group, states.LOCAL_LANE, 1, outlook.local_due_at)
        return min(upstream, unhurried, backend, stream, local)

    async def _fill(
        self, group: asyncio.TaskGroup, lane: Sequence[int], slots: int, due_at: datetime | None
    ) -> float:
        """Start the due jobs of a lane, the first of which is due at `due_at`; return how long to wait."""
        now, timing = self._context.clock(), self._context.timing
        longest = self._context.database.longest_wait(timing.poll)
        free = slots - sum(states.PRIORITY[claim.kind] in lane for claim in self._running.values())
        if due_at is None or free <= 0 or self._stopping.is_set():
            return longest
        if due_at > now:
            return min(longest, (due_at - now).total_seconds())
        until = now + timedelta(seconds=timing.lease)
        claims = await self._context.database.write(
            jobs.claim, now=now, until=until, owner=self._owner, limit=free, lane=lane
        )
        for claim in claims:
            self._start(group, claim)
        for job_id in claims.unreadable:
            self._context.telemetry.log.error("job_row_skipped", job_id=job_id)
        return 0

    def _start(self, group: asyncio.TaskGroup, claim: jobs.Claim) -> None:
        task = group.create_task(self._work(claim))
        self._running[task] = claim
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._freed.set()

    async def _work(self, claim: jobs.Claim) -> None:
        """Run a claim. An error is written to its job, unless another worker holds the lease."""
        failure = await poll_loop.outcome_of(self._run_task(claim))
        if failure is None:
            return
        self._log_failure(claim, failure)
        if not isinstance(failure, storage_errors.LeaseLost):
            await self._release(claim, failure)

    async def _run_task(self, claim: jobs.Claim) -> None:
        await registry.run(self._context, claim)
        await failures.handle_success(self._context)

    def _log_failure(self, claim: jobs.Claim, failure: Exception) -> None:
        log = self._context.telemetry.log.bind(kind=claim.kind.value, run_id=claim.run_id or None)
        if isinstance(failure, errors.UpstreamError):
            log.warning("job_failed", error=failure.summary, failures=claim.failures + 1)
        elif isinstance(failure, storage_errors.LeaseLost):
            log.info("job_lease_lost", reason=str(failure))
        elif isinstance(failure, storage_errors.Unavailable):
            log.warning("job_postponed", reason=str(failure))
        else:
            log.error("job_crashed", exc_info=failure)

    async def _release(self, claim: jobs.Claim, failure: Exception) -> None:
        """Release the job to come due again. Repeats while the database is unavailable: leases last long."""
        for attempt in itertools.count(1):
            error = await poll_loop.outcome_of(failures.handle_failure(self._context, claim, failure))
            if error is None or isinstance(error, storage_errors.LeaseLost):
                return
            if isinstance(error, storage_errors.Unavailable):
                if self._stopping.is_set():
                    return
                await self._wait_after(error, attempt)
                continue
            self._context.telemetry.log.error("job_release_failed", exc_info=error)
            if attempt > 3:
                return
            failure = error

    async def _wait_after(self, error: Exception, attempt: int = 1) -> None:
        """Wait a moment, since the database is unavailable, or a row in it cannot be read."""
        if isinstance(error, storage_errors.Unavailable):
            self._context.telemetry.log.warning("database_lost", reason=str(error))
        else:
            self._context.telemetry.log.error("job_claim_failed", exc_info=error)
        await asyncio.sleep(timeouts.delay(attempt, 0.2, 5.0).total_seconds())

    async def _beat(self) -> None:
        """Renew the leases of running jobs and write the heartbeat."""
        worker = system_state.Worker(self._owner, self._name, self._version, self._context.clock())
        while True:
            latest = self._clock.latest
            now, timing = self._context.clock(), self._context.timing
            until = now + timedelta(seconds=timing.lease)
            claims = list(self._running.values())
            ok_at, rate_limit = self._context.telemetry.upstream_seen
            log = self._context.telemetry.log
            try:
                heartbeat = self._context.database.write(
                    transitions_heartbeat.record_heartbeat,
                    claims,
                    until,
                    now,
                    latest,
                    ok_at,
                    rate_limit,
                    notifies=self._can_notify,
                    is_shared=self._clock.is_shared,
                    worker=worker,
                )
                if set_back_by := await heartbeat:
                    self._clock.latest = now
                    log.warning("clock_set_back", seconds=set_back_by.total_seconds())
            except storage_errors.Unavailable as error:
                log.warning("heartbeat_missed", reason=str(error))
            await asyncio.sleep(timing.heartbeat)

    async def _drain(self) -> None:
        """Let running jobs finish for a while; the others keep their rows and come due again."""
        if not self._running:
            return
        running = dict(self._running)
        _, late = await asyncio.wait(running, timeout=self._context.timing.drain)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
            claims = [running[task] for task in late]
            await self._context.database.write(jobs.release, claims, self._context.clock())

    async def _leave(self) -> None:
        """Remove this worker from the list, so that a worker that stops in good order is not shown as gone."""
        try:
            await self._context.database.write(system_state.remove_worker, self._owner)
        except storage_errors.Unavailable as error:
            self._context.telemetry.log.warning("heartbeat_missed", reason=str(error))


def _after(due_at: datetime | None, pause: datetime | None) -> datetime | None:
    """Return the earliest moment at which a due job may run."""
    return due_at if due_at is None or pause is None else max(due_at, pause)
