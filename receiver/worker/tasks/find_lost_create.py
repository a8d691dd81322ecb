"""Find the upstream run of a create whose answer was lost, before another one is created."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from receiver import errors
from receiver.upstream import payloads
from receiver.worker import list_walk
from receiver.worker.context import Context
from receiver.worker.tasks import failures
from storage import bounds, states
from storage.repositories import runs, upstream_links
from storage.transitions import starting

#: Pages of 250 runs that are searched. Where an agent has more runs in the window, the job comes due again:
#: creating blindly might make a second run.
PAGES = 40
#: The same after a restore, when the search covers all runs since the backup was made.
PAGES_AFTER_RESTORE = 400
#: Characters of a listed prompt that are compared before the details are fetched. The upstream cuts at 200 of its
#: own characters, which may be fewer of ours.
PROMPT_PREFIX = 100
#: States of an upstream run that we created and never executed.
UNSTARTED = frozenset({states.QUEUED, states.CANCELLED})


async def find(context: Context, run: runs.Run) -> starting.CreatedRun | None:
    """Return the oldest unlinked upstream run that only this submission can have created; None without one."""
    return await choose_unstarted(context, run, await candidates(context, run, UNSTARTED))


async def candidates(
    context: Context, run: runs.Run, shown: Collection[states.Status], pages: int = PAGES
) -> list[payloads.Details]:
    """Return the unlinked upstream runs in one of the `shown` states whose details match this submission."""
    skew = context.timing.clock_skew
    found: list[payloads.Details] = []
    async for listed in _unlinked(context, run, run.accepted_at - timedelta(seconds=skew), shown, pages):
        details = await _details(context, listed.id)
        if details is not None and details.status in shown and matches(run, details, skew):
            found.append(details)
    return found


async def choose_unstarted(
    context: Context, run: runs.Run, found: Sequence[payloads.Details]
) -> starting.CreatedRun | None:
    """Choose the run to continue with among candidates that were never executed; None without one."""
    if not found:
        return None
    # The oldest that can still be executed; a cancelled run counts only where there is no other.
    first = min(found, key=lambda each: (each.status is not states.QUEUED, str(each.measures.created_at), each.id))
    if await _is_ambiguous(context, run, first):
        return None
    return as_created(context, run, first)


def as_created(context: Context, run: runs.Run, found: payloads.Details) -> starting.CreatedRun:
    """Return a found run in the form of the answer to a create."""
    is_watched = context.callback_url(run.id) is not None
    return starting.CreatedRun(found.id, found.measures.created_at, watched=is_watched)


async def _unlinked(
    context: Context, run: runs.Run, earliest: datetime, shown: Collection[states.Status], pages: int
) -> AsyncIterator[payloads.Listed]:
    """Yield the agent's listed runs that are unlinked and resemble this submission, back to `earliest`."""
    cursor, trail = None, list_walk.PageGuard()
    skew = context.timing.clock_skew
    for _ in range(pages):
        page = await context.upstream.list(agent_id=run.agent_id, cursor=cursor)
        known = await context.database.read(upstream_links.linked_runs, [each.id for each in page.runs])
        for listed in page.runs:
            if listed.id not in known and listed.status in shown and resembles(run, listed, skew):
                yield listed
        if not page.has_more or list_walk.reaches(page, earliest):
            return
        cursor = trail.next_cursor(page)
    raise errors.InvalidResponse("GET /agent/v1/run", "the agent has too many runs to look through")


async def _details(context: Context, upstream_id: str) -> payloads.Details | None:
    """Fetch the outline of a candidate; None where it is gone.

    Details that can never be read cannot be compared, so such a run is no match and is not linked.
    """
    try:
        return await fetch_outline(context, upstream_id)
    except errors.INVALID_DETAILS:
        return None
    except errors.UpstreamStatusError as failure:
        if failure.status != 404:
            raise
        return None


async def fetch_outline(context: Context, upstream_id: str) -> payloads.Details:
    """Fetch a run's details without steps, usage and output, which may be large and would be kept in memory."""
    async with context.upstream.details(upstream_id) as fetched:
        details = fetched.details
        return replace(details, measures=replace(details.measures, output=None), steps=(), usage=())


def resembles(run: runs.Run, listed: payloads.Listed, clock_skew: float) -> bool:
    """Return whether a listed run, whose prompt is cut or missing, may belong to this submission."""
    same_agent = run.agent_id is None or listed.agent_id is None or listed.agent_id == run.agent_id
    same_prompt = listed.prompt is None or listed.prompt[:PROMPT_PREFIX] == (run.prompt or "")[:PROMPT_PREFIX]
    is_young = listed.created_at is None or _is_young(run, listed.created_at, clock_skew)
    return same_agent and same_prompt and is_young


def _is_young(run: runs.Run, created_at: datetime, clock_skew: float) -> bool:
    """Return whether the time of creation is not before the submission."""
    return created_at >= bounds.before(run.accepted_at, timedelta(seconds=clock_skew))


def matches(run: runs.Run, details: payloads.Details, clock_skew: float) -> bool:
    """Return whether an upstream run matches all fields of this submission and is not older than it can be."""
    return (
        run.agent_id in (None, details.agent_id)
        and details.prompt == run.prompt
        and (details.guidance or None) == (run.guidance or None)
        and (run.model is None or details.model == run.model)
        and details.measures.created_at is not None
        and _is_young(run, details.measures.created_at, clock_skew)
    )


async def _is_ambiguous(context: Context, run: runs.Run, found: payloads.Details) -> bool:
    """Return whether another submission of the window differs only in its object ids, hidden by the details."""
    skew = timedelta(seconds=context.timing.clock_skew)
    latest = (found.measures.created_at or run.accepted_at) + skew
    alike = await context.database.read(
        runs.similar_submissions, run.agent_id or "", (run.prompt or "")[:PROMPT_PREFIX], latest
    )
    return any(
        other.id != run.id
        and list(other.object_ids or ()) != list(run.object_ids or ())
        and _may_have_created(other, run.accepted_at - skew)
        and matches(other, found, context.timing.clock_skew)
        for other in alike
    )


def _may_have_created(other: runs.Run, window: datetime) -> bool:
    """Return whether the other submission was accepted in the window, or may still have a lost create."""
    is_open = other.status is states.ACCEPTED and other.upstream_id is None
    return is_open or other.lost_create_since is not None or other.accepted_at >= window


@dataclass(frozen=True, slots=True)
class Candidate:
    """An upstream run that one lost call may have created.

    `instructions` are those of its agent, None where the agent is gone.
    """

    details: payloads.Details
    instructions: str | None

    def may_belong_to(self, run: runs.Run, clock_skew: float) -> bool:
        """Return whether this submission may have created the run."""
        agrees = run.instructions is None or self.instructions in (None, run.instructions)
        return agrees and matches(run, self.details, clock_skew)


async def with_instructions(context: Context, details: payloads.Details) -> Candidate:
    """Add the instructions of the run's agent, which can be fetched as long as the agent exists."""
    agent_instructions = None
    if details.agent_id is not None:
        try:
            agent_instructions = await context.upstream.instructions(details.agent_id)
        except errors.UpstreamStatusError as failure:
            if failure.status in failures.DEPLOYMENT_WIDE:
                raise
    return Candidate(details, agent_instructions)


async def find_one_call(context: Context, run: runs.Run) -> payloads.Details | None:
    """Find the upstream run, in any state, that this submission's lost call created; None where none is certain.

    The agent was made for the run, so the runs of all agents are searched. Equal submissions may be confused with
    each other. So a run is certain only where there are no more runs than equal submissions, and no other
    submission can have created it. After a restore there may have been further equal submissions, which the backup
    does not contain: then any of their runs will do.
    """
    skew, is_restored = context.timing.clock_skew, run.restored_at is not None
    shown = await candidates(context, run, tuple(states.Status), PAGES_AFTER_RESTORE if is_restored else PAGES)
    found = [await with_instructions(context, each) for each in shown]
    possible = [each for each in found if each.may_belong_to(run, skew)]
    claimants = await _claimants(context, run, possible)
    if not possible or not all(asks_the_same(each, run) for each in claimants):
        return None
    if len(possible) > len(claimants) and not is_restored:
        return None
    return min(possible, key=lambda each: (str(each.details.measures.created_at), each.details.id)).details


async def _claimants(context: Context, run: runs.Run, found: Sequence[Candidate]) -> list[runs.Run]:
    """Return the submissions whose lost call may have created one of these runs, this one among them."""
    alike = await context.database.read(runs.unlinked, run.prompt)
    skew = context.timing.clock_skew
    return [
        each
        for each in alike
        if (each.instructions is None or (each.lost_create_since and not each.upstream_id))
        and any(candidate.may_belong_to(each, skew) for candidate in found)
    ]


def asks_the_same(one: runs.Run, other: runs.Run) -> bool:
    """Return whether two submissions with the same prompt agree in every field that the details do not show."""
    same_objects = list(one.object_ids or ()) == list(other.object_ids or ())
    return one.instructions == other.instructions and same_objects
