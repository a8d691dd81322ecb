"""Looking first: finding the upstream run of a create whose answer was lost, before creating another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from receiver import errors
from receiver.tasks import failing, paging
from receiver.tasks.context import Context
from receiver.upstream import payloads
from storage import bounds, links, runs, states, transitions

#: Pages of 250 that are walked at most; an agent with more runs in the window is not looked through in vain:
#: the job comes due again rather than creating blindly.
PAGES = 40
#: The same after a restore, when all is looked for that came since the copy was made.
PAGES_BACK = 400
#: Characters of a listed prompt that are compared before the details are asked for. The upstream cuts at 200
#: of its own kind of character, which are fewer of ours.
HEAD = 100
#: What an upstream run may show that we created and never executed.
UNSTARTED = frozenset({states.QUEUED, states.CANCELLED})


async def look(context: Context, run: runs.Run) -> transitions.Created | None:
    """The oldest upstream run that only this submission can have created, linked to nothing; None without one."""
    return await unstarted(context, run, await candidates(context, run, UNSTARTED))


async def candidates(
    context: Context, run: runs.Run, shown: Collection[states.Status], pages: int = PAGES
) -> list[payloads.Details]:
    """The upstream runs in these states that say all that this submission asked for, linked to nothing."""
    skew = context.timing.clock_skew
    found: list[payloads.Details] = []
    async for listed in _unlinked(context, run, run.accepted_at - timedelta(seconds=skew), shown, pages):
        details = await _details(context, listed.id)
        if details is not None and details.status in shown and matches(run, details, skew):
            found.append(details)
    return found


async def unstarted(
    context: Context, run: runs.Run, found: Sequence[payloads.Details]
) -> transitions.Created | None:
    """Of candidates that were never executed the one that this submission goes on with; None without one."""
    if not found:
        return None
    # The oldest that can still be executed; a cancelled one stands for ours only where there is no other.
    first = min(found, key=_rank)
    if await _is_ambiguous(context, run, first):
        return None
    return taken(context, run, first)


def taken(context: Context, run: runs.Run, found: payloads.Details) -> transitions.Created:
    """What was found stands for what a create would have answered."""
    return transitions.Created(found.id, found.created_at, watched=context.callback_url(run.id) is not None)


def _rank(found: payloads.Details) -> tuple[bool, str, str]:
    return found.status is not states.QUEUED, str(found.created_at), found.id


async def _unlinked(
    context: Context, run: runs.Run, earliest: datetime, shown: Collection[states.Status], pages: int
) -> AsyncIterator[payloads.Listed]:
    """Listed runs of the agent that may be the one, linked to nothing, as far back as it can have been created."""
    cursor, trail = None, paging.Trail()
    skew = context.timing.clock_skew
    for _ in range(pages):
        page = await context.upstream.list(agent_id=run.agent_id, cursor=cursor)
        known = await context.database.read(links.known, [each.id for each in page.runs])
        for listed in page.runs:
            if listed.id not in known and listed.status in shown and resembles(run, listed, skew):
                yield listed
        if not page.has_more or paging.reaches(page, earliest):
            return
        cursor = trail.onward(page)
    raise errors.Unreadable("GET /agent/v1/run", "the agent has too many runs to look through")


async def _details(context: Context, upstream_id: str) -> payloads.Details | None:
    """The details of a candidate without what it did; None where it has gone meanwhile.

    One that can never be read cannot be compared either, so nothing is linked: it is no match.
    """
    try:
        return await asked_for(context, upstream_id)
    except errors.UNREADABLE:
        return None
    except errors.Answered as failure:
        if failure.status != 404:
            raise
        return None


async def asked_for(context: Context, upstream_id: str) -> payloads.Details:
    """What was asked of a run, without what it did, which may be large and would be held on."""
    async with context.upstream.details(upstream_id) as fetched:
        return replace(fetched.details, output=None, steps=(), usage=())


def resembles(run: runs.Run, listed: payloads.Listed, clock_skew: float) -> bool:
    """Whether a line of the list, with its prompt cut or left out, may stand for this submission."""
    same_agent = run.agent_id is None or listed.agent_id is None or listed.agent_id == run.agent_id
    same_prompt = listed.prompt is None or listed.prompt[:HEAD] == (run.prompt or "")[:HEAD]
    return (
        same_agent and same_prompt and (listed.created_at is None or _is_young(run, listed.created_at, clock_skew))
    )


def _is_young(run: runs.Run, created_at: datetime, clock_skew: float) -> bool:
    """Whether what was created then is not older than the submission."""
    return created_at >= bounds.before(run.accepted_at, timedelta(seconds=clock_skew))


def matches(run: runs.Run, details: payloads.Details, clock_skew: float) -> bool:
    """Whether an upstream run says all that this submission asked for, and is not older than it can be."""
    return (
        run.agent_id in (None, details.agent_id)
        and details.prompt == run.prompt
        and (details.guidance or None) == (run.guidance or None)
        and (run.model is None or details.model == run.model)
        and details.created_at is not None
        and _is_young(run, details.created_at, clock_skew)
    )


async def _is_ambiguous(context: Context, run: runs.Run, found: payloads.Details) -> bool:
    """Whether another submission of the window differs in nothing but its object ids, which details don't show."""
    skew = timedelta(seconds=context.timing.clock_skew)
    latest = (found.created_at or run.accepted_at) + skew
    alike = await context.database.read(runs.alike, run.agent_id or "", (run.prompt or "")[:HEAD], latest)
    return any(
        other.id != run.id
        and list(other.object_ids or ()) != list(run.object_ids or ())
        and _may_have_created(other, run.accepted_at - skew)
        and matches(other, found, context.timing.clock_skew)
        for other in alike
    )


def _may_have_created(other: runs.Run, window: datetime) -> bool:
    """Accepted in the window, or with a create that may still be astray."""
    is_open = other.status is states.ACCEPTED and other.upstream_id is None
    return is_open or other.stray_since is not None or other.accepted_at >= window


@dataclass(frozen=True, slots=True)
class Candidate:
    """An upstream run that one lost call may have made. `instructions` are its agent's, None where it is gone."""

    details: payloads.Details
    instructions: str | None

    def may_be_of(self, run: runs.Run, clock_skew: float) -> bool:
        """Whether this submission may have made it."""
        told = run.instructions is None or self.instructions in (None, run.instructions)
        return told and matches(run, self.details, clock_skew)


async def candidate(context: Context, details: payloads.Details) -> Candidate:
    """A run with what its agent is told to be, which can be asked for as long as the agent is there."""
    told = None
    if details.agent_id is not None:
        try:
            told = await context.upstream.instructions(details.agent_id)
        except errors.Answered as failure:
            if failing.concerns_all(failure):
                raise
    return Candidate(details, told)


async def recall(context: Context, run: runs.Run) -> payloads.Details | None:
    """The upstream run that the lost call of this submission made, in whatever state; None without a certain one.

    Its agent was made for it, so all runs are looked through. Submissions that are equal may have each other's:
    only where there are no more runs than such submissions, and no other one can have made it, is it certain.
    After a restore there may have been more of them, which are forgotten: any run of theirs is as good.
    """
    skew, is_restored = context.timing.clock_skew, run.restored_at is not None
    shown = await candidates(context, run, tuple(states.Status), PAGES_BACK if is_restored else PAGES)
    found = [await candidate(context, each) for each in shown]
    mine = [each for each in found if each.may_be_of(run, skew)]
    claimants = await _claimants(context, run, mine)
    if not mine or not all(is_equal(each, run) for each in claimants):
        return None
    if len(mine) > len(claimants) and not is_restored:
        return None
    return min(mine, key=lambda each: (str(each.details.created_at), each.details.id)).details


async def _claimants(context: Context, run: runs.Run, found: Sequence[Candidate]) -> list[runs.Run]:
    """The submissions whose lost call may have made one of these runs, this one among them."""
    alike = await context.database.read(runs.unlinked, run.prompt)
    sent = [each for each in alike if each.instructions is None or (each.stray_since and not each.upstream_id)]
    return [each for each in sent if any(one.may_be_of(each, context.timing.clock_skew) for one in found)]


def is_equal(one: runs.Run, other: runs.Run) -> bool:
    """Whether two submissions that ask for the same prompt ask for the same in all that details don't show."""
    same_objects = list(one.object_ids or ()) == list(other.object_ids or ())
    return one.instructions == other.instructions and same_objects
