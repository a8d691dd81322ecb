"""The sweep: the road that needs nobody to call us. One list call covers 250 runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from receiver import errors, rounds
from receiver.tasks import adopting, failing, looking, paging, singly
from receiver.tasks.context import Context
from receiver.upstream import payloads, routes
from storage import bounds, house, ids, jobs, runs, states, transitions, unknown

#: Pages that a pass walks at most, and open runs that it asks about one by one.
PAGES = 20
SINGLES = 50
#: Runs that could not be dealt with, of which the job says which they are.
NAMED = 5
#: Of the time that an unknown run has waited, the part after which it is asked about again.
WAITED = 0.1


@dataclass(frozen=True, slots=True)
class _Pass:
    """One sweep: how far back it must go, None for nothing to look for; and where another one was cut.

    `broken` gathers the upstream ids of runs that could not be dealt with.
    """

    started: datetime
    horizon: datetime | None
    cut: house.Cut | None
    broken: list[str] = field(default_factory=list)

    def broke(self, context: Context, upstream_id: str, failure: Exception) -> None:
        """What the upstream shows of one run could not be dealt with: it is named, and the others go on."""
        self.broken.append(upstream_id)
        context.telemetry.log.error("run_not_observed", upstream_id=upstream_id, error=rounds.reason(failure))


@dataclass(frozen=True, slots=True)
class _Walked:
    """What became of a walk. `whole`: all down to the horizon was seen and dealt with, since `began_at`."""

    began_at: datetime
    whole: bool
    cut: house.Cut | None = None
    error: str | None = None


async def sweep(context: Context, claim: jobs.Claim) -> None:
    """Walks the list as far back as there is something to learn, then asks about open runs it did not see."""
    this = await _begin(context)
    walked = _Walked(this.started, whole=True)
    if this.horizon is not None:
        walked = await _walk(context, this, this.horizon)
    elif (await context.database.read(house.read)).pause_streak > 0:
        await context.upstream.list(limit=1)  # where nothing else is asked, nobody would learn that it is over
    await _ask_singly(context, this)
    if context.adopt_all:
        await _ask_unknown(context, this)
    await _end(context, claim, this, walked)


async def _end(context: Context, claim: jobs.Claim, this: _Pass, walked: _Walked) -> None:
    if walked.error is not None:
        context.telemetry.log.warning("sweep_incomplete", reason=walked.error)
    error = walked.error
    if error is None and this.broken:
        error = f"{len(this.broken)} runs could not be dealt with: {', '.join(this.broken[:NAMED])}"
    # What was cut goes on soon, however seldom there are sweeps.
    wait = context.sweep_seconds if walked.cut is None else min(context.sweep_seconds, context.timing.sweep)
    await context.database.write(
        transitions.swept,
        claim,
        walked.began_at,
        this.started + timedelta(seconds=wait),
        whole=walked.whole,
        stray_before=walked.began_at - timedelta(seconds=context.timing.stray),
        cut=walked.cut,
        error=error,
    )


async def _begin(context: Context) -> _Pass:
    started = context.clock()
    database = context.database
    unlinked = await database.read(runs.unlinked)
    oldest = await database.read(runs.oldest_open)
    skew = timedelta(seconds=context.timing.clock_skew)
    reach = [bounds.before(each.accepted_at, skew) for each in unlinked if each.stray_since is not None]
    if oldest is not None:
        reach.append(oldest)
    if context.adopt_all:
        swept_at = (await database.read(house.read)).swept_at
        reach.append(
            bounds.before(min(swept_at or started, started), skew)
        )  # a clock that went back has swept in the future
    return _Pass(started, min(reach, default=None), await database.read(house.cut))


async def _walk(context: Context, this: _Pass, horizon: datetime) -> _Walked:
    """Up to PAGES pages, newest first, down to the horizon; where another pass was cut, behind its last page.

    That pass began earlier, so what came since then is for the next one; the newest are looked at in any case.
    What is cut goes on where it was, unless it comes no further: then the list leads nowhere.
    """
    cut = this.cut
    if cut is None:
        return await _go_on(context, this, house.Cut("", this.started, None, True), horizon, PAGES)
    page = await context.upstream.list()
    await _read_page(context, this, page.runs)
    try:
        return await _go_on(context, this, cut, horizon, PAGES - 1)
    except errors.Answered as failure:
        if failure.status not in (400, 404):
            raise
        # The run behind which it was cut is gone, and with it the place.
        return _Walked(this.started, whole=False)


async def _go_on(context: Context, this: _Pass, begun: house.Cut, horizon: datetime, pages: int) -> _Walked:
    """The pages behind `begun`, which is at the top where its cursor is empty."""
    cursor, met, reached = begun.cursor or None, begun.met, begun.reached_at
    trail = paging.Trail(cursor)
    for _ in range(pages):
        page = await context.upstream.list(cursor=cursor)
        met = await _read_page(context, this, page.runs) and met
        reached = _earlier(reached, page)
        if not page.has_more or paging.reaches(page, horizon):
            return _Walked(begun.began_at, whole=met)
        try:
            cursor = trail.onward(page)
        except errors.BadPaging as failure:
            return _Walked(begun.began_at, whole=False, error=str(failure))
    assert cursor is not None
    if begun.cursor and (reached is None or reached == begun.reached_at):
        error = f"{routes.LIST}: the list comes no further: {pages} pages behind {begun.cursor} are not older"
        return _Walked(begun.began_at, whole=False, error=error)
    return _Walked(begun.began_at, whole=False, cut=house.Cut(cursor, begun.began_at, reached, met))


def _earlier(reached: datetime | None, page: payloads.Page) -> datetime | None:
    """How far back the list was seen, with this page."""
    dated = [each.created_at for each in page.runs if each.created_at is not None]
    return min([*dated, *([] if reached is None else [reached])], default=None)


async def _read_page(context: Context, this: _Pass, page: Sequence[payloads.Listed]) -> bool:
    """Whether all that the page shows could be dealt with, but for what is named as broken."""
    seen = [transitions.Seen(each.id, each.status, each.started_at) for each in page]
    unknown_ids = await _observe(context, this, seen)
    if not unknown_ids:
        return True
    # Read after the page came: whoever made a run on it by a call that is under way stands here.
    unlinked = await context.database.read(runs.unlinked)
    if len(unlinked) >= runs.UNLINKED:
        return False
    met = True
    strangers = [each for each in page if each.id in unknown_ids]
    for listed in strangers:
        met = await _meet(context, this, unlinked, listed) and met
    await _note_waiting(context, [each.id for each in strangers if each.status is states.QUEUED])
    return met


async def _observe(context: Context, this: _Pass, seen: Sequence[transitions.Seen]) -> set[str]:
    """Note what the upstream shows; return which of it is not ours. What breaks that is named and passed over."""

    async def observe(part: Sequence[transitions.Seen]) -> frozenset[str]:
        return (await context.database.write(transitions.observe, part, context.clock())).strangers

    def broke(each: transitions.Seen, failure: Exception) -> None:
        this.broke(context, each.upstream_id, failure)

    return set().union(*await singly.done(observe, seen, broke))


async def _note_waiting(context: Context, upstream_ids: Sequence[str]) -> None:
    """What is not ours and queued becomes ours once it runs, though it may be far behind in the list by then."""
    if context.adopt_all and upstream_ids:
        now = context.clock()
        ask_at = now + timedelta(seconds=context.sweep_seconds)
        await context.database.write(transitions.note_unknown, upstream_ids, now, ask_at)


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


async def _meet(context: Context, this: _Pass, unlinked: Sequence[runs.Run], listed: payloads.Listed) -> bool:
    """The same; one that breaks it is named and passed over."""

    async def meet(part: Sequence[payloads.Listed]) -> bool:
        return await _meet_stranger(context, unlinked, part[0])

    return all(await singly.done(meet, [listed], lambda each, failure: this.broke(context, each.id, failure)))


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
    details, skew = await looking.asked_for(context, upstream_id), context.timing.clock_skew
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


async def _ask_singly(context: Context, this: _Pass) -> None:
    """Open runs that no page showed, longest unasked first. Absence from the list proves nothing."""
    lost_before = this.started - timedelta(seconds=context.timing.ask_lost)
    unasked = await context.database.read(runs.unasked, this.started, lost_before, SINGLES)
    for run in unasked:
        assert run.upstream_id is not None
        try:
            shown = await context.upstream.status(run.upstream_id)
        except errors.UpstreamError as failure:
            await failing.pass_over(context, failure)
            await _ask_alone(context, this, run)
            continue
        count = len(this.broken)
        await _observe(context, this, [transitions.Seen(run.upstream_id, shown.status, shown.started_at)])
        if len(this.broken) > count:
            await _ask_alone(context, this, run)


async def _ask_alone(context: Context, this: _Pass, run: runs.Run) -> None:
    """The settle knows what a 404 or a broken run means, and has a back-off of its own."""

    async def ask(part: Sequence[runs.Run]) -> None:
        await context.database.write(transitions.ask_alone, part[0].id, context.clock())

    await singly.done(ask, [run], lambda each, failure: this.broke(context, each.id, failure))


async def _ask_unknown(context: Context, this: _Pass) -> None:
    """Runs that are not ours and were queued when they were last seen: one that runs now becomes ours."""
    for waiting in await context.database.write(transitions.due_unknown, this.started, SINGLES):
        try:
            shown = await context.upstream.status(waiting.upstream_id)
            if shown.status is not states.QUEUED:
                await _meet_again(context, this, waiting.upstream_id, shown)
        except errors.UpstreamError as failure:
            await failing.pass_over(context, failure)
            await _put_off(context, waiting, is_missing=adopting.is_gone(failure))
            continue
        await _put_off(context, waiting, is_missing=False)


async def _meet_again(context: Context, this: _Pass, upstream_id: str, shown: payloads.Status) -> None:
    """As though the list showed it, which shows it far behind."""
    listed = await _as_listed(context, upstream_id, shown)
    await _meet(context, this, await context.database.read(runs.unlinked), listed)


async def _as_listed(context: Context, upstream_id: str, shown: payloads.Status) -> payloads.Listed:
    """Return the run as the list would show it; only its state where its details can never be read.

    A run that may be one of ours by so little is compared by its details, and put off since they cannot be read.
    Any other is adopted: the job for that knows what to do without details.
    """
    try:
        found = await looking.asked_for(context, upstream_id)
    except errors.UNREADABLE:
        return payloads.Listed(upstream_id, None, shown.status, None, None, None, shown.started_at, None)
    return payloads.Listed(
        found.id,
        found.agent_id,
        found.status,
        found.prompt,
        found.model,
        found.created_at,
        found.started_at,
        found.completed_at,
    )


async def _put_off(context: Context, waiting: unknown.Unknown, *, is_missing: bool) -> None:
    """It is asked about again, the later the longer it waits; one that is not there for long is forgotten."""
    now, timing = context.clock(), context.timing
    since = (waiting.missing_since or now) if is_missing else None
    if since is not None and now - since >= timedelta(seconds=timing.lost):
        await context.database.write(unknown.forget, [waiting.upstream_id])
        return
    longest = max(context.sweep_seconds, timing.ask_lost)
    wait = max(context.sweep_seconds, WAITED * (now - waiting.listed_at).total_seconds())
    ask_at = now + timedelta(seconds=min(wait, longest))
    await context.database.write(unknown.put_off, waiting.upstream_id, ask_at, since)
