"""Take over the runs that the upstream already has: walk its list page by page, then adopt what was found.

Both obey the pause that all workers share. A run that is listed and cannot be fetched concerns only its own
adoption and does not stop the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

from receiver import errors, poll_loop
from receiver.upstream import payloads
from receiver.worker import isolation, list_walk
from receiver.worker.context import Context
from receiver.worker.tasks import adopt, failures, find_lost_create
from storage import errors as storage_errors
from storage import ids, states
from storage.repositories import backfills, jobs, runs, system_state
from storage.transitions import adopting

#: Failures of the list in a row, rate limits not counted, after which the walk stops.
TRIES = 5
#: Seconds between two checks of a pause, which other workers may extend.
PAUSE_POLL = 1.0
#: The only kind of job that `fetch` runs.
_LANE = (states.PRIORITY[states.Kind.ADOPT],)


async def walk(context: Context, walk: backfills.Walk) -> AsyncIterator[backfills.Walk]:
    """Walk the list from the stored position and yield the progress after each committed page.

    Raises UpstreamError where the list cannot be read; the stored position then stays where it is. Raises
    InvalidPaging where no next page can be found, after the runs of the last page are stored.
    """
    was_resumed, trail = walk.cursor is not None, list_walk.PageGuard(walk.cursor)
    while walk.finished_at is None:
        try:
            page = await _next_page(context, walk)
        except errors.UpstreamStatusError as failure:
            if failure.status not in (400, 404) or not was_resumed:
                raise
            # The run whose id is the stored cursor may be gone, and the cursor with it.
            walk, trail = await context.database.write(backfills.restart, walk), list_walk.PageGuard()
            page = await _next_page(context, walk)
        was_resumed = False
        # Read after the page: a submission whose one call created a run on it is listed here, or is linked by now.
        unlinked = await context.database.read(runs.unlinked)
        cursor, paging_error = _behind(walk, page, trail)
        is_last = cursor is None and paging_error is None
        turned = _turned(context, walk, page, unlinked, cursor, is_last=is_last)
        walk = await _turn(context, walk, turned)
        yield walk
        if paging_error is not None:
            raise paging_error


async def _turn(context: Context, walk: backfills.Walk, page: adopting.BackfillPage) -> backfills.Walk:
    """Commit the page in one transaction; where one of its runs fails, commit singly and log those that fail."""
    whole = await isolation.attempt(context.database.write(adopting.adopt_page, walk, page))
    if not isinstance(whole, Exception):
        return whole

    async def take(part: Sequence[adopting.Adoption]) -> None:
        nonlocal walk
        staying = adopting.BackfillPage(part, walk.cursor, None)
        walk = await context.database.write(adopting.adopt_page, walk, staying)

    def broke(each: adopting.Adoption, failure: Exception) -> None:
        log = context.telemetry.log
        log.error("run_adoption_failed", upstream_id=each.upstream_id, error=poll_loop.log_reason(failure))

    await isolation.apply(take, page.found, broke)
    return await context.database.write(adopting.adopt_page, walk, replace(page, found=()))


def _behind(
    walk: backfills.Walk, page: payloads.Page, trail: list_walk.PageGuard
) -> tuple[str | None, errors.InvalidPaging | None]:
    """Return the next cursor, None at the end of the walk; or the present one with the error that stops it."""
    if not page.has_more or (walk.since is not None and list_walk.reaches(page, walk.since)):
        return None, None
    try:
        return trail.next_cursor(page), None
    except errors.InvalidPaging as failure:
        return walk.cursor, failure


async def _next_page(context: Context, walk: backfills.Walk) -> payloads.Page:
    only_status = next(iter(walk.statuses)) if len(walk.statuses) == 1 else None
    return await read_page(context, walk.cursor, walk.agent_id, only_status)


async def read_page(
    context: Context, cursor: str | None, agent_id: str | None = None, status: str | None = None
) -> payloads.Page:
    """Fetch a page of the list. Rate limits are waited out without end, other failures a few times."""
    failed_tries = 0
    while True:
        await _wait_for_pause(context)
        try:
            page = await context.upstream.list(agent_id=agent_id, status=status, cursor=cursor)
        except errors.UpstreamError as failure:
            # Whether asking again cannot help.
            is_final = failure.status is not None and failure.status < 500 and failure.status not in (408, 429)
            failed_tries += failure.status != 429
            if is_final or failed_tries >= TRIES:
                raise
            await failures.pause(context, failure, context.clock())
        else:
            await failures.handle_success(context)
            return page


async def _wait_for_pause(context: Context) -> None:
    while (state := await context.database.read(system_state.read)).is_paused(context.clock()):
        assert state.paused_until is not None
        left = (state.paused_until - context.clock()).total_seconds()
        await asyncio.sleep(min(PAUSE_POLL, max(0.0, left)))


def _turned(
    context: Context,
    walk: backfills.Walk,
    page: payloads.Page,
    unlinked: Sequence[runs.Run],
    cursor: str | None,
    *,
    is_last: bool,
) -> adopting.BackfillPage:
    now, skew = context.clock(), context.timing.clock_skew
    open_ = [each for each in unlinked if each.upstream_id is None and not each.is_terminal]
    asked_for = [each for each in page.runs if _is_asked_for(each, walk)]
    # A run that may belong to an open submission is left to that submission's own job.
    found = [each for each in asked_for if not any(find_lost_create.resembles(run, each, skew) for run in open_)]
    by = states.Submitter.BACKFILL
    # The adoptions have no deadline, since these runs have ended.
    adopted = [
        adopting.Adoption(ids.new(now), each.id, by, states.Source.SWEEP, now, None, actor=adopt.ACTORS[by])
        for each in found
    ]
    return adopting.BackfillPage(adopted, cursor, now if is_last else None)


def _is_asked_for(listed: payloads.Listed, walk: backfills.Walk) -> bool:
    """Return whether the walk asks for this run.

    A run without a date is taken: an extra run does no harm, a lost one does.
    """
    is_young = walk.since is None or listed.created_at is None or listed.created_at >= walk.since
    return is_young and listed.status in walk.statuses and walk.agent_id in (None, listed.agent_id)


async def run_adoptions(context: Context, owner: str, slots: int) -> bool:
    """Run up to `slots` due adoptions where no worker does; return whether there were any."""
    now, state = context.clock(), await context.database.read(system_state.read)
    if state.is_paused(now):
        return False
    claims = await context.database.write(
        jobs.claim,
        now=now,
        until=now + timedelta(seconds=context.timing.lease),
        owner=owner,
        limit=slots if state.pause_streak == 0 else 1,  # during a pause only one job runs, as a trial
        lane=_LANE,
    )
    try:
        async with asyncio.TaskGroup() as group:
            for claim in claims:
                group.create_task(_adopt_one(context, claim))
    finally:  # an interruption releases the jobs that are not done
        await context.database.write(jobs.release, claims, context.clock())
    return bool(claims)


async def _adopt_one(context: Context, claim: jobs.Claim) -> None:
    """Run one adoption as the worker does: a failure is written to its job, or sets the shared pause."""
    log = context.telemetry.log.bind(run_id=claim.run_id)
    postponing = storage_errors.LeaseLost | storage_errors.Unavailable

    async def carry_out() -> None:
        await adopt.adopt(context, claim)
        await failures.handle_success(context)

    trouble = await poll_loop.outcome_of(carry_out())
    if isinstance(trouble, errors.UpstreamError):
        trouble = await poll_loop.outcome_of(failures.handle_failure(context, claim, trouble))
    if trouble is not None and not isinstance(trouble, postponing):
        log.error("job_crashed", exc_info=trouble)
        trouble = await poll_loop.outcome_of(failures.handle_failure(context, claim, trouble))
    if trouble is not None:
        log.info("adoption_postponed", reason=poll_loop.log_reason(trouble))
