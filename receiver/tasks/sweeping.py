"""The sweep: the road that needs nobody to call us. One list call covers 250 runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver import errors
from receiver.tasks import failing, looking
from receiver.tasks.context import Context
from receiver.upstream import payloads
from storage import house, ids, jobs, runs, states, transitions

#: Pages that a pass walks at most, and open runs that it asks about one by one.
PAGES = 20
SINGLES = 50


@dataclass(frozen=True, slots=True)
class _Pass:
    """One sweep: when it began, and how far back it must go; None where there is nothing to look for."""

    started: datetime
    horizon: datetime | None


async def sweep(context: Context, claim: jobs.Claim) -> None:
    """Walks the list as far back as there is something to learn, then asks about open runs it did not see."""
    this = await _begin(context)
    whole = this.horizon is None
    if this.horizon is not None:
        met = True
        async for page, last in _pages(context, this.horizon):
            met = await _read_page(context, page) and met
            whole = last and met
    elif (await context.database.read(house.read)).pause_streak > 0:
        await context.upstream.list(limit=1)  # where nothing else is asked, nobody would learn that it is over
    await _ask_singly(context, this.started)
    due_at = this.started + timedelta(seconds=context.sweep_seconds)
    stray_before = this.started - timedelta(seconds=context.timing.stray)
    await context.database.write(
        transitions.swept, claim, this.started, due_at, whole=whole, stray_before=stray_before
    )


async def _begin(context: Context) -> _Pass:
    started = context.clock()
    database = context.database
    unlinked = await database.read(runs.unlinked)
    oldest = await database.read(runs.oldest_open)
    skew = timedelta(seconds=context.timing.clock_skew)
    reach = [each.accepted_at - skew for each in unlinked if each.stray_since is not None]
    if oldest is not None:
        reach.append(oldest)
    if context.adopt_all:
        swept_at = (await database.read(house.read)).swept_at
        reach.append(min(swept_at or started, started) - skew)  # a clock that went back has swept in the future
    return _Pass(started, min(reach, default=None))


async def _pages(context: Context, horizon: datetime) -> AsyncIterator[tuple[Sequence[payloads.Listed], bool]]:
    """Pages, newest first, and whether with this one all down to `horizon` was seen."""
    cursor: str | None = None
    for _ in range(PAGES):
        page = await context.upstream.list(cursor=cursor)
        dated = [each.created_at for each in page.runs if each.created_at is not None]
        reached = not page.has_more or (bool(dated) and min(dated) < horizon)
        yield page.runs, reached
        if reached or page.next_cursor is None:
            return
        cursor = page.next_cursor


async def _read_page(context: Context, page: Sequence[payloads.Listed]) -> bool:
    """Whether all that the page shows could be dealt with."""
    seen = [transitions.Seen(each.id, each.status, each.started_at) for each in page]
    told = await context.database.write(transitions.observe, seen, context.clock())
    if not told.strangers:
        return True
    # Read after the page came: whoever made a run on it by a call that is under way stands here.
    unlinked = await context.database.read(runs.unlinked)
    if len(unlinked) >= runs.UNLINKED:
        return False
    met = True
    for listed in page:
        if listed.id in told.strangers:
            met = await _meet_stranger(context, unlinked, listed) and met
    return met


async def _meet_stranger(context: Context, unlinked: Sequence[runs.Run], listed: payloads.Listed) -> bool:
    """A run we don't know: a stray of ours is cancelled, one that is no longer queued may be adopted.

    What is queued and no stray may be the backend's own and is never touched. Only what one call has started can
    be a stray that is not queued. False where it could not be told.
    """
    alike = [each for each in unlinked if looking.resembles(each, listed, context.timing.clock_skew)]
    if any(each.upstream_id is None and not each.is_terminal for each in alike):
        return True  # its start job looks first
    is_queued = listed.status is states.QUEUED
    likely = alike if is_queued else [each for each in alike if each.instructions is not None]
    orphaned = await _orphan(context, likely, listed.id) if likely else False
    if orphaned is None or orphaned or is_queued:
        return orphaned is not None
    if context.adopt_all:
        await _adopt(context, listed.id)
    return True


async def _orphan(context: Context, alike: Sequence[runs.Run], upstream_id: str) -> bool | None:
    """Commits a stray as an orphan of the submission that created it, and has it cancelled; whether it is one.

    None where it could not be told.
    """
    try:
        parent = await _parent(context, alike, upstream_id)
    except errors.UpstreamError as failure:
        await failing.pass_over(context, failure)
        return None
    if parent is not None:
        await context.database.write(transitions.orphan, parent.id, upstream_id, context.clock())
    return parent is not None


async def _parent(context: Context, alike: Sequence[runs.Run], upstream_id: str) -> runs.Run | None:
    details, skew = (await context.upstream.details(upstream_id)).details, context.timing.clock_skew
    likely = [each for each in alike if looking.matches(each, details, skew)]
    if not any(each.instructions for each in likely):
        return likely[0] if likely and details.status is states.QUEUED else None
    found = await looking.candidate(context, details)
    if found.instructions is None and details.status in states.LIVE:
        return None  # an agent that is made for a run is there as long as it goes on
    certain = [each for each in likely if each.instructions and found.may_be_of(each, skew)]
    return certain[0] if certain else None


async def _adopt(context: Context, upstream_id: str) -> None:
    now = context.clock()
    expected_by = now + timedelta(seconds=context.timing.hard_limit + context.timing.overdue)
    wish = transitions.Adopted(
        ids.new(now), upstream_id, states.Submitter.SWEEP, states.Road.SWEEP, now, expected_by
    )
    await context.database.write(transitions.adopt, wish)


async def _ask_singly(context: Context, started: datetime) -> None:
    """Open runs that no page showed, longest unasked first. Absence from the list proves nothing."""
    lost_before = started - timedelta(seconds=context.timing.ask_lost)
    unasked = await context.database.read(runs.unasked, started, lost_before, SINGLES)
    for run in unasked:
        assert run.upstream_id is not None
        try:
            shown = await context.upstream.status(run.upstream_id)
        except errors.UpstreamError as failure:
            await failing.pass_over(context, failure)
            # The settle knows what a 404 or a broken run means, and has a back-off of its own.
            await context.database.write(transitions.ask_alone, run.id, context.clock())
            continue
        seen = transitions.Seen(run.upstream_id, shown.status, shown.started_at)
        await context.database.write(transitions.observe, [seen], context.clock())
