"""Find the upstream run of an unstarted submission after a restore: it may have ended by now.

The deployment went on after the backup was made, so it may have created the run, executed it and seen it end. The
search therefore covers runs in every state, and a run is created only where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

from receiver.upstream import payloads
from receiver.worker.context import Context
from receiver.worker.tasks import failures, find_lost_create
from storage import states
from storage.repositories import jobs, runs
from storage.transitions import restoring, starting

#: The reason of a submission that ends because it cannot be known whether it was executed.
MAYBE_EXECUTED = (
    "the database was restored from an older backup, and the upstream has executed a run that may belong to this "
    "submission or to another one that differs only in its objects: submit it again if that is harmless"
)
#: States of a run that was executed; a cancelled run may have been executed.
_EXECUTED = frozenset({states.RUNNING, states.COMPLETED, states.FAILED})


@dataclass(frozen=True, slots=True)
class Recovery:
    """The upstream run of a submission, if there is one. `is_over` means that none is to be created either."""

    created: starting.CreatedRun | None
    is_over: bool = False


async def recover(context: Context, claim: jobs.Claim, run: runs.Run) -> Recovery:
    """Find the upstream run of a submission that is marked as restored; executed runs take precedence."""
    found = await find_lost_create.candidates(
        context, run, tuple(states.Status), find_lost_create.PAGES_AFTER_RESTORE
    )
    executed = [each for each in found if each.status in _EXECUTED or each.measures.started_at is not None]
    if executed:
        first = min(executed, key=lambda each: (str(each.measures.created_at), each.id))
        if await _may_be_of_another(context, run, first):
            await context.database.write(
                starting.refuse, claim, MAYBE_EXECUTED, context.clock(), failures.RUNLEDGER
            )
            return Recovery(None, is_over=True)
        return Recovery(find_lost_create.as_created(context, run, first))
    made = await find_lost_create.choose_unstarted(context, run, found)
    return Recovery(made, is_over=made is None and await cancel_if_requested(context, claim, run))


async def _may_be_of_another(context: Context, run: runs.Run, found: payloads.Details) -> bool:
    """Return whether the run may belong to another open submission that differs only in its object ids.

    The details do not show object ids.
    """
    alike = await context.database.read(runs.unlinked, run.prompt)
    similar = [
        each
        for each in alike
        if _is_open(each) and find_lost_create.matches(each, found, context.timing.clock_skew)
    ]
    return not all(find_lost_create.asks_the_same(each, run) for each in similar)


def _is_open(run: runs.Run) -> bool:
    """Return whether the submission may have been executed without a link to its upstream run."""
    is_unknown = run.upstream_id is None and not run.is_terminal
    return is_unknown and run.restored_at is not None and run.instructions is None


async def cancel_if_requested(context: Context, claim: jobs.Claim, run: runs.Run) -> bool:
    """Cancel a restored run of which nothing was found, if that was requested; return whether it was."""
    if run.restored_at is None or run.cancel_requested_at is None:
        return False
    await context.database.write(restoring.cancel_not_found, claim, context.clock())
    return True
