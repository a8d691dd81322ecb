"""One function per kind of job: ask the upstream, or the backend, and commit what it says.

A task raises what it cannot decide (an `UpstreamError`, `Fenced`, `Unavailable`); the worker's boundary turns
that into a back-off or a pause. Nothing here is lost by a kill between two commits: the job is still there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from receiver.tasks import adopting, capturing, checking, notifying, settling, starting, stopping, sweeping
from receiver.tasks.context import Context
from receiver.tasks.failing import answered, failed
from storage import jobs, states

KINDS: Mapping[states.Kind, Callable[[Context, jobs.Claim], Awaitable[None]]] = {
    states.Kind.START: starting.start,
    states.Kind.SETTLE: settling.settle,
    states.Kind.CANCEL: stopping.cancel,
    states.Kind.ORPHAN: stopping.orphan,
    states.Kind.ADOPT: adopting.adopt,
    states.Kind.SWEEP: sweeping.sweep,
    states.Kind.CHECK: checking.check,
    states.Kind.NOTIFY: notifying.notify,
    states.Kind.CAPTURE: capturing.capture,
}


async def run(context: Context, claim: jobs.Claim) -> None:
    """Carries out a claimed job."""
    await KINDS[claim.kind](context, claim)


__all__ = ["KINDS", "Context", "answered", "failed", "run"]
