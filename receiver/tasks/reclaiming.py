"""Looking first after a restore: a submission that stands here as not started may have ended by now.

The copy was made, and the store it was made of went on: it may have created the run, executed it, seen it end. So
the upstream is looked through for a run in whatever state; only where there is none at all is one created.
"""

from __future__ import annotations

from dataclasses import dataclass

from receiver.tasks import failing, looking
from receiver.tasks.context import Context
from receiver.upstream import payloads
from storage import jobs, runs, states, transitions

#: What a submission ends with of which it cannot be told whether it was executed.
UNSURE = (
    "the store was restored from a copy that is older, and the upstream has executed a run that may be of this "
    "submission or of another one that is equal but for its objects: submit it again if that is harmless"
)
#: What an upstream run shows once it was executed; one that was cancelled may have been.
_EXECUTED = frozenset({states.RUNNING, states.COMPLETED, states.FAILED})


@dataclass(frozen=True, slots=True)
class Trace:
    """The upstream run that stands for a submission, if there is one. `is_over`: nor is one to be created."""

    made: transitions.Created | None
    is_over: bool = False


async def trace(context: Context, claim: jobs.Claim, run: runs.Run) -> Trace:
    """What the upstream has of a submission that is marked; what was executed goes before all else."""
    found = await looking.candidates(context, run, tuple(states.Status), looking.PAGES_BACK)
    executed = [each for each in found if _was_executed(each)]
    if executed:
        first = min(executed, key=lambda each: (str(each.created_at), each.id))
        if await _may_be_of_another(context, run, first):
            await context.database.write(transitions.refuse, claim, UNSURE, context.clock(), failing.OURSELVES)
            return Trace(None, is_over=True)
        return Trace(looking.taken(context, run, first))
    made = await looking.unstarted(context, run, found)
    return Trace(made, is_over=made is None and await given_up(context, claim, run))


def _was_executed(found: payloads.Details) -> bool:
    return found.status in _EXECUTED or found.started_at is not None


async def _may_be_of_another(context: Context, run: runs.Run, found: payloads.Details) -> bool:
    """Whether it may be of an open submission that is equal but for its objects, which details don't show."""
    alike = await context.database.read(runs.unlinked, run.prompt)
    rivals = [each for each in alike if _is_open(each) and looking.matches(each, found, context.timing.clock_skew)]
    return not all(looking.is_equal(each, run) for each in rivals)


def _is_open(run: runs.Run) -> bool:
    """Whether it may have been executed without our knowing by which upstream run."""
    is_unknown = run.upstream_id is None and not run.is_terminal
    return is_unknown and run.restored_at is not None and run.instructions is None


async def given_up(context: Context, claim: jobs.Claim, run: runs.Run) -> bool:
    """Whether a marked run of which nothing was found is wanted no more; it is cancelled here then."""
    if run.restored_at is None or run.cancel_requested_at is None:
        return False
    await context.database.write(transitions.give_up, claim, context.clock())
    return True
