"""Taking over what the upstream has from before us: walking its list page by page, and fetching what was taken.

Both obey the pause that all workers share. What stands in the list and cannot be fetched is the affair of its own
adoption, and holds up nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from receiver import backoff, errors, rounds
from receiver.tasks import adopting, failing, looking, paging, singly
from receiver.tasks.context import Context
from receiver.upstream import payloads
from storage import backfills, house, ids, jobs, runs, states, transitions
from storage import errors as storage_errors

#: How often in a row the list may fail, but for the limit, before the walk is given up for now.
TRIES = 5
#: Seconds between two looks at a pause, which others may prolong.
LOOK = 1.0
#: The one kind of job that is carried out here.
_LANE = (states.PRIORITY[states.Kind.ADOPT],)


async def walk(context: Context, walk: backfills.Walk) -> AsyncIterator[backfills.Walk]:
    """Goes through the list from where the walk stands, and says after each committed page how far it is.

    Raises UpstreamError where the list cannot be had; the walk stays where it is. So it does where the list leads
    nowhere (BadPaging), but what the last page shows is taken.
    """
    was_left, trail = walk.cursor is not None, paging.Trail(walk.cursor)
    while walk.finished_at is None:
        try:
            page = await _page(context, walk)
        except errors.Answered as failure:
            if failure.status not in (400, 404) or not was_left:
                raise
            # The run that it was left at may be gone, and with it the place.
            walk, trail = await context.database.write(backfills.from_the_top, walk), paging.Trail()
            page = await _page(context, walk)
        was_left = False
        # Read after the page came: a submission whose call made a run on it stands here, or knows it by now.
        unlinked = await context.database.read(runs.unlinked)
        cursor, stuck = _behind(walk, page, trail)
        is_over = cursor is None and stuck is None
        turned = _turned(context, walk, page, unlinked, cursor, is_over=is_over)
        walk = await _turn(context, walk, turned)
        yield walk
        if stuck is not None:
            raise stuck


async def _turn(context: Context, walk: backfills.Walk, page: transitions.Turned) -> backfills.Walk:
    """Take the page in one transaction; where a run of it breaks that, each by itself, and name what breaks."""

    async def turn(pages: Sequence[transitions.Turned]) -> backfills.Walk:
        return await context.database.write(transitions.turn, walk, pages[0])

    async def take(part: Sequence[transitions.Adopted]) -> None:
        nonlocal walk
        staying = transitions.Turned(part, walk.cursor, None)
        walk = await context.database.write(transitions.turn, walk, staying)

    def broke(each: transitions.Adopted, failure: Exception) -> None:
        log = context.telemetry.log
        log.error("run_not_adopted", upstream_id=each.upstream_id, error=rounds.reason(failure))

    if whole := await singly.done(turn, [page], lambda _page, _failure: None):
        return whole[0]
    await singly.done(take, page.found, broke)
    return await turn([replace(page, found=())])


def _behind(
    walk: backfills.Walk, page: payloads.Page, trail: paging.Trail
) -> tuple[str | None, errors.BadPaging | None]:
    """Where the walk goes on, None where it is over; where no way leads on it stays, with the reason."""
    if not page.has_more or (walk.since is not None and paging.reaches(page, walk.since)):
        return None, None
    try:
        return trail.onward(page), None
    except errors.BadPaging as failure:
        return walk.cursor, failure


async def _page(context: Context, walk: backfills.Walk) -> payloads.Page:
    """The next page. Waits out the limit for as long as it takes, other trouble a few times."""
    tries = 0
    while True:
        await _wait_for_pause(context)
        try:
            only = next(iter(walk.statuses)) if len(walk.statuses) == 1 else None
            page = await context.upstream.list(agent_id=walk.agent_id, status=only, cursor=walk.cursor)
        except errors.UpstreamError as failure:
            tries += not _is_limit(failure)
            if _is_final(failure) or tries >= TRIES:
                raise
            await failing.pause(context, failure, context.clock())
        else:
            await failing.answered(context)
            return page


def _is_limit(failure: errors.UpstreamError) -> bool:
    return isinstance(failure, errors.Answered) and failure.status == 429


def _is_final(failure: errors.UpstreamError) -> bool:
    """Whether asking again will not help."""
    return isinstance(failure, errors.Answered) and failure.status < 500 and failure.status not in (408, 429)


async def _wait_for_pause(context: Context) -> None:
    while (state := await context.database.read(house.read)).is_paused(context.clock()):
        assert state.paused_until is not None
        left = (state.paused_until - context.clock()).total_seconds()
        await asyncio.sleep(min(LOOK, max(0.0, left)))


def _turned(
    context: Context,
    walk: backfills.Walk,
    page: payloads.Page,
    unlinked: Sequence[runs.Run],
    cursor: str | None,
    *,
    is_over: bool,
) -> transitions.Turned:
    now, skew = context.clock(), context.timing.clock_skew
    open_ = [each for each in unlinked if each.upstream_id is None and not each.is_terminal]
    asked_for = [each for each in page.runs if _is_asked_for(each, walk)]
    # What an open submission's own job may be about to find is left to it.
    found = [each for each in asked_for if not any(looking.resembles(run, each, skew) for run in open_)]
    return transitions.Turned([_adopted(each, now) for each in found], cursor, now if is_over else None)


def _is_asked_for(listed: payloads.Listed, walk: backfills.Walk) -> bool:
    """Undated runs are taken: better one too many than one lost."""
    is_young = walk.since is None or listed.created_at is None or listed.created_at >= walk.since
    return is_young and listed.status in walk.statuses and walk.agent_id in (None, listed.agent_id)


def _adopted(listed: payloads.Listed, now: datetime) -> transitions.Adopted:
    """Nothing is expected of it: it has ended."""
    by = states.Submitter.BACKFILL
    return transitions.Adopted(
        ids.new(now), listed.id, by, states.Road.SWEEP, now, None, actor=adopting.ACTORS[by]
    )


async def fetch(context: Context, owner: str, places: int) -> bool:
    """Carries out up to `places` adoptions that are due, where no worker does; whether there were any."""
    now, state = context.clock(), await context.database.read(house.read)
    if state.is_paused(now):
        return False
    claims = await context.database.write(
        jobs.claim,
        now=now,
        until=now + timedelta(seconds=context.timing.lease),
        owner=owner,
        limit=places if state.pause_streak == 0 else 1,  # while there is trouble one goes ahead and tries
        lane=_LANE,
    )
    await _adopt(context, claims)
    return bool(claims)


async def _adopt(context: Context, claims: Sequence[jobs.Claim]) -> None:
    """Who is interrupted gives back what is not done."""
    try:
        async with asyncio.TaskGroup() as group:
            for claim in claims:
                group.create_task(_adopt_one(context, claim))
    finally:
        await context.database.write(jobs.give_back, claims, context.clock())


async def _adopt_one(context: Context, claim: jobs.Claim) -> None:
    """As the worker does it: the failure is its job's, or everybody's pause."""
    trouble = await rounds.outcome(_carry_out(context, claim))
    if isinstance(trouble, storage_errors.Fenced | storage_errors.Unavailable):
        context.telemetry.log.info("adoption_put_off", run_id=claim.run_id, reason=str(trouble))
    elif trouble is not None:
        context.telemetry.log.error("job_broke", run_id=claim.run_id, exc_info=trouble)
        await rounds.outcome(_put_off(context, claim, trouble))


async def _carry_out(context: Context, claim: jobs.Claim) -> None:
    try:
        await adopting.adopt(context, claim)
        await failing.answered(context)
    except errors.UpstreamError as failure:
        await failing.failed(context, claim, failure)


async def _put_off(context: Context, claim: jobs.Claim, failure: Exception) -> None:
    """What this one run contains costs no other its adoption."""
    now = context.clock()
    due_at = now + backoff.after_failure(context.timing, claim.failures)
    error = f"{type(failure).__name__}: {failure}"
    await context.database.write(jobs.failed, claim, due_at, error=error, now=now)
