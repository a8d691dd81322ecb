"""The sweep: the periodic reconciliation with the upstream's list, which needs no callback.

One list call covers 250 runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from receiver import errors, poll_loop
from receiver.upstream import payloads, routes
from receiver.worker import isolation, list_walk
from receiver.worker.context import Context
from receiver.worker.tasks import adopt, failures, find_lost_create
from storage import bounds, ids, states
from storage.repositories import jobs, runs, system_state, unknown_runs
from storage.transitions import adopting, starting, sweeping

#: Pages that one pass reads, and open runs that it asks about one by one.
MAX_PAGES = 20
MAX_SINGLE_CALLS = 50
#: Failed runs that the job's error names.
MAX_NAMED = 5
#: An unknown run is asked about again after this share of the time it has waited.
REASK_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class _Pass:
    """One pass of the sweep.

    `horizon` is how far back the pass has to go, None where it need not search. `cut` is where an earlier pass
    stopped early. `broken` collects the upstream ids of runs that failed.
    """

    started: datetime
    horizon: datetime | None
    cut: system_state.SweepPosition | None
    broken: list[str] = field(default_factory=list)

    def record_failure(self, context: Context, upstream_id: str, failure: Exception) -> None:
        """Log a run that failed and remember its id, so that the pass continues."""
        self.broken.append(upstream_id)
        context.telemetry.log.error(
            "run_observation_failed", upstream_id=upstream_id, error=poll_loop.log_reason(failure)
        )


@dataclass(frozen=True, slots=True)
class _Walked:
    """The result of a walk. `whole` means that every run since `began_at`, down to the horizon, was handled."""

    began_at: datetime
    is_complete: bool
    cut: system_state.SweepPosition | None = None
    error: str | None = None


async def sweep(context: Context, claim: jobs.Claim) -> None:
    """Walk the list back to the horizon, then ask about each open run that it did not show."""
    sweep_pass = await _begin(context)
    walked = _Walked(sweep_pass.started, is_complete=True)
    if sweep_pass.horizon is not None:
        walked = await _walk(context, sweep_pass, sweep_pass.horizon)
    elif (await context.database.read(system_state.read)).pause_streak > 0:
        await context.upstream.list(limit=1)  # without another call, nothing would show that the pause can end
    await _ask_singly(context, sweep_pass)
    if context.adopt_all:
        await _ask_unknown(context, sweep_pass)
    await _end(context, claim, sweep_pass, walked)


async def _end(context: Context, claim: jobs.Claim, sweep_pass: _Pass, walked: _Walked) -> None:
    if walked.error is not None:
        context.telemetry.log.warning("sweep_truncated", reason=walked.error)
    error = walked.error
    if error is None and sweep_pass.broken:
        error = f"{len(sweep_pass.broken)} runs could not be processed: {', '.join(sweep_pass.broken[:MAX_NAMED])}"
    # A cut pass continues soon, even where sweeps are rare.
    wait = context.sweep_seconds if walked.cut is None else min(context.sweep_seconds, context.timing.sweep)
    await context.database.write(
        sweeping.finish_sweep,
        claim,
        walked.began_at,
        sweep_pass.started + timedelta(seconds=wait),
        complete=walked.is_complete,
        lost_create_before=walked.began_at - timedelta(seconds=context.timing.lost_create),
        position=walked.cut,
        error=error,
    )


async def _begin(context: Context) -> _Pass:
    started = context.clock()
    database = context.database
    unlinked = await database.read(runs.unlinked)
    oldest = await database.read(runs.oldest_open)
    skew = timedelta(seconds=context.timing.clock_skew)
    reach = [bounds.before(each.accepted_at, skew) for each in unlinked if each.lost_create_since is not None]
    if oldest is not None:
        reach.append(oldest)
    if context.adopt_all:
        swept_at = (await database.read(system_state.read)).swept_at
        # After a clock was set back, the last sweep may lie in the future.
        reach.append(bounds.before(min(swept_at or started, started), skew))
    return _Pass(started, min(reach, default=None), await database.read(system_state.sweep_position))


async def _walk(context: Context, sweep_pass: _Pass, horizon: datetime) -> _Walked:
    """Read up to MAX_PAGES pages, newest first, down to the horizon; continue a cut pass behind its last page.

    The cut pass began earlier, so runs created since are left to the next pass; the newest page is read in any
    case. A walk is cut again only if it got further: a list without progress leads nowhere.
    """
    cut = sweep_pass.cut
    if cut is None:
        top = system_state.SweepPosition("", sweep_pass.started, None, True)
        return await _read_pages(context, sweep_pass, top, horizon, MAX_PAGES)
    page = await context.upstream.list()
    await _read_page(context, sweep_pass, page.runs)
    try:
        return await _read_pages(context, sweep_pass, cut, horizon, MAX_PAGES - 1)
    except errors.UpstreamStatusError as failure:
        if failure.status not in (400, 404):
            raise
        # The run whose id is the stored cursor is gone, and the cursor with it.
        return _Walked(sweep_pass.started, is_complete=False)


async def _read_pages(
    context: Context, sweep_pass: _Pass, begun: system_state.SweepPosition, horizon: datetime, pages: int
) -> _Walked:
    """Read the pages behind `begun`; an empty cursor means the top of the list."""
    cursor, all_handled, reached = begun.cursor or None, begun.all_handled, begun.reached_at
    trail = list_walk.PageGuard(cursor)
    for _ in range(pages):
        page = await context.upstream.list(cursor=cursor)
        all_handled = await _read_page(context, sweep_pass, page.runs) and all_handled
        reached = min(filter(None, [reached, *(each.created_at for each in page.runs)]), default=None)
        if not page.has_more or list_walk.reaches(page, horizon):
            return _Walked(begun.began_at, is_complete=all_handled)
        try:
            cursor = trail.next_cursor(page)
        except errors.InvalidPaging as failure:
            return _Walked(begun.began_at, is_complete=False, error=str(failure))
    assert cursor is not None
    if begun.cursor and (reached is None or reached == begun.reached_at):
        error = f"{routes.LIST}: the list makes no progress: {pages} pages behind {begun.cursor} are not older"
        return _Walked(begun.began_at, is_complete=False, error=error)
    position = system_state.SweepPosition(cursor, begun.began_at, reached, all_handled)
    return _Walked(begun.began_at, is_complete=False, cut=position)


async def _read_page(context: Context, sweep_pass: _Pass, page: Sequence[payloads.Listed]) -> bool:
    """Handle the runs of a page; return whether all could be handled, not counting those recorded as broken."""
    seen = [sweeping.ListedRun(each.id, each.status, each.started_at) for each in page]
    unknown_ids = await _observe(context, sweep_pass, seen)
    if not unknown_ids:
        return True
    # Read after the page: a submission whose one call is under way and created a run on it is listed here.
    unlinked = await context.database.read(runs.unlinked)
    if len(unlinked) >= runs.MAX_UNLINKED:
        return False
    all_handled = True
    unknown_here = [each for each in page if each.id in unknown_ids]
    for listed in unknown_here:
        all_handled = await _handle_isolated(context, sweep_pass, unlinked, listed) and all_handled
    queued = [each.id for each in unknown_here if each.status is states.QUEUED]
    if context.adopt_all and queued:
        # They are adopted once they run; by then they may be far down the list.
        now = context.clock()
        ask_at = now + timedelta(seconds=context.sweep_seconds)
        await context.database.write(unknown_runs.record, queued, now, ask_at)
    return all_handled


async def _observe(context: Context, sweep_pass: _Pass, seen: Sequence[sweeping.ListedRun]) -> set[str]:
    """Record what the upstream shows and return the ids of unknown runs. Failing runs are recorded as broken."""

    async def observe(part: Sequence[sweeping.ListedRun]) -> frozenset[str]:
        return (await context.database.write(sweeping.record_listed, part, context.clock())).unknown_ids

    def record_failure(each: sweeping.ListedRun, failure: Exception) -> None:
        sweep_pass.record_failure(context, each.upstream_id, failure)

    return set().union(*await isolation.apply(observe, seen, record_failure))


async def _handle_unknown(context: Context, unlinked: Sequence[runs.Run], listed: payloads.Listed) -> bool:
    """Handle an unknown run: cancel an orphan, adopt a run that is no longer queued. Return False where undecided.

    A queued run that is no orphan may be the backend's own and is never touched. A run that is no longer queued
    can be an orphan only if one call started it.
    """
    alike = [each for each in unlinked if find_lost_create.resembles(each, listed, context.timing.clock_skew)]
    if any(each.upstream_id is None and not each.is_terminal for each in alike):
        return True  # the start job of that submission looks for it
    is_queued = listed.status is states.QUEUED
    likely = alike if is_queued else [each for each in alike if each.instructions is not None]
    orphaned = await _orphan(context, likely, listed.id) if likely else False
    if orphaned is None or orphaned or is_queued:
        return orphaned is not None
    if context.adopt_all:
        now, by = context.clock(), states.Submitter.SWEEP
        overdue_at = context.timing.overdue_at(now)
        adoption = adopting.Adoption(ids.new(now), listed.id, by, states.Source.SWEEP, now, overdue_at)
        await context.database.write(adopting.adopt, adoption)
    return True


async def _handle_isolated(
    context: Context, sweep_pass: _Pass, unlinked: Sequence[runs.Run], listed: payloads.Listed
) -> bool:
    """Handle an unknown run; one that fails is recorded as broken."""
    outcome = await isolation.attempt(_handle_unknown(context, unlinked, listed))
    if isinstance(outcome, Exception):
        sweep_pass.record_failure(context, listed.id, outcome)
        return True
    return outcome


async def _orphan(context: Context, alike: Sequence[runs.Run], upstream_id: str) -> bool | None:
    """Commit a lost create as an orphan of its submission and have it cancelled; return whether it is one.

    None where it could not be decided.
    """
    try:
        parent = await _parent(context, alike, upstream_id)
    except errors.UpstreamError as failure:
        await failures.raise_if_deployment_wide(context, failure)
        return None
    if parent is not None:
        await context.database.write(starting.record_orphan, parent.id, upstream_id, context.clock())
    return parent is not None


async def _parent(context: Context, alike: Sequence[runs.Run], upstream_id: str) -> runs.Run | None:
    details, skew = await find_lost_create.fetch_outline(context, upstream_id), context.timing.clock_skew
    likely = [each for each in alike if find_lost_create.matches(each, details, skew)]
    if not any(each.instructions for each in likely):
        return likely[0] if likely and details.status is states.QUEUED else None
    found = await find_lost_create.with_instructions(context, details)
    if found.instructions is None and details.status in states.LIVE:
        return None  # an agent made for one run exists as long as the run is live
    certain = [each for each in likely if each.instructions and found.may_belong_to(each, skew)]
    return certain[0] if certain else None


async def _ask_singly(context: Context, sweep_pass: _Pass) -> None:
    """Ask for the status of open runs that no page showed, the longest unasked first.

    Absence from the list proves nothing.
    """
    lost_before = sweep_pass.started - timedelta(seconds=context.timing.ask_lost)
    unasked = await context.database.read(runs.unasked, sweep_pass.started, lost_before, MAX_SINGLE_CALLS)
    for run in unasked:
        assert run.upstream_id is not None
        try:
            shown = await context.upstream.status(run.upstream_id)
        except errors.UpstreamError as failure:
            await failures.raise_if_deployment_wide(context, failure)
            await _ask_alone(context, sweep_pass, run)
            continue
        count = len(sweep_pass.broken)
        listed = sweeping.ListedRun(run.upstream_id, shown.status, shown.measures.started_at)
        await _observe(context, sweep_pass, [listed])
        if len(sweep_pass.broken) > count:
            await _ask_alone(context, sweep_pass, run)


async def _ask_alone(context: Context, sweep_pass: _Pass, run: runs.Run) -> None:
    """Leave the run to a settle job, which handles a 404 or a faulty run and has a back-off of its own."""
    request = context.database.write(sweeping.request_own_settle, run.id, context.clock())
    outcome = await isolation.attempt(request)
    if isinstance(outcome, Exception):
        sweep_pass.record_failure(context, run.id, outcome)


async def _ask_unknown(context: Context, sweep_pass: _Pass) -> None:
    """Ask about unknown runs that were queued when last seen; adopt those that run now."""
    for unknown_run in await context.database.write(sweeping.due_unknown, sweep_pass.started, MAX_SINGLE_CALLS):
        try:
            shown = await context.upstream.status(unknown_run.upstream_id)
            if shown.status is not states.QUEUED:
                # It is handled as if the list had shown it, since it may be far down the list.
                listed = await _as_listed(context, unknown_run.upstream_id, shown)
                unlinked = await context.database.read(runs.unlinked)
                await _handle_isolated(context, sweep_pass, unlinked, listed)
        except errors.UpstreamError as failure:
            await failures.raise_if_deployment_wide(context, failure)
            await _put_off(context, unknown_run, is_missing=failure.status in adopt.GONE_STATUSES)
            continue
        await _put_off(context, unknown_run, is_missing=False)


async def _as_listed(context: Context, upstream_id: str, shown: payloads.Status) -> payloads.Listed:
    """Return the run as the list would show it; only its state where its details can never be read.

    Where these values do not exclude that the run is ours, its details have to be compared, so the run is put off
    while they cannot be read. Any other run is adopted: the adopt job also works without details.
    """
    try:
        details = await find_lost_create.fetch_outline(context, upstream_id)
    except errors.INVALID_DETAILS:
        return payloads.Listed(upstream_id, None, shown.status, None, None, shown.measures.started_at)
    created_at, started_at = details.measures.created_at, details.measures.started_at
    return payloads.Listed(details.id, details.agent_id, details.status, details.prompt, created_at, started_at)


async def _put_off(context: Context, unknown_run: unknown_runs.UnknownRun, *, is_missing: bool) -> None:
    """Schedule the next status call, later the longer the run waits; forget a run that is missing for long."""
    now, timing = context.clock(), context.timing
    since = (unknown_run.missing_since or now) if is_missing else None
    if since is not None and now - since >= timedelta(seconds=timing.lost):
        await context.database.write(unknown_runs.remove, [unknown_run.upstream_id])
        return
    longest = max(context.sweep_seconds, timing.ask_lost)
    wait = max(context.sweep_seconds, REASK_SHARE * (now - unknown_run.listed_at).total_seconds())
    ask_at = now + timedelta(seconds=min(wait, longest))
    await context.database.write(unknown_runs.postpone, unknown_run.upstream_id, ask_at, since)
