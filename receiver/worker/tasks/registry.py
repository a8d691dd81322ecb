"""One function per kind of job: call the upstream or the backend, and commit the answer.

A task raises what it does not handle (an `UpstreamError`, `LeaseLost`, `Unavailable`). The worker catches it and
turns it into a back-off or a pause. A kill between two commits loses nothing, because the job's row is still
there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from receiver.worker.context import Context
from receiver.worker.tasks import (
    adopt,
    cancel,
    capture,
    check_endpoint,
    notify,
    settle,
    start,
    sweep,
    work_in_bulk,
)
from storage import states
from storage.repositories import jobs

KINDS: Mapping[states.Kind, Callable[[Context, jobs.Claim], Awaitable[None]]] = {
    states.Kind.START: start.start,
    states.Kind.SETTLE: settle.settle,
    states.Kind.CANCEL: cancel.cancel,
    states.Kind.ORPHAN: cancel.cancel_orphans,
    states.Kind.ADOPT: adopt.adopt,
    states.Kind.SWEEP: sweep.sweep,
    states.Kind.CHECK: check_endpoint.check,
    states.Kind.NOTIFY: notify.notify,
    states.Kind.CAPTURE: capture.capture,
    states.Kind.BULK: work_in_bulk.work,
}


async def run(context: Context, claim: jobs.Claim) -> None:
    """Run the task of a claimed job."""
    await KINDS[claim.kind](context, claim)
