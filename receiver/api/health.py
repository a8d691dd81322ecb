"""How the house is: for load balancers, for monitoring, for programs that want to know the interface."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta

from receiver import access, endpoint, shapes
from storage import backlog, errors, house, jobs, runs, search, states

#: Failing jobs that are named.
NAMED = 5
#: After so long a run should be found by its words.
BEHIND = timedelta(minutes=10)
NOT_INDEXED = (
    "{count} run(s) have waited for more than ten minutes to be found by their words, run {run_id} the longest: "
    "the log says why, by `run_not_indexed`, or `indexer_waits`"
)
NOBODY_NOTIFIES = (
    "{count} notify job(s) wait, and no worker that has RUNLEDGER_NOTIFY_URL was seen lately: "
    "start one that has it, of the servers that share this database"
)

Plain = endpoint.Call[None, None]


async def get_health(call: Plain) -> endpoint.Answer:
    """The process answers, and goes on to; nothing else is asked."""
    stops = call.context.stopping.is_set()
    return endpoint.Answer(503 if stops else 200, shapes.Alive(ok=not stops, version=call.context.version))


async def get_readiness(call: Plain) -> endpoint.Answer:
    """Whether runs that are submitted now will be carried out. Reasons and details are for those with a key.

    A database that hangs is as good as away: who asks has not much time.
    """
    try:
        async with asyncio.timeout(call.timing.readiness):
            state = await call.database.read(house.read)
            reasons = _reasons(call, state)
            told = await _details(call, state, reasons) if call.caller is not access.NOBODY else None
    except (errors.Unavailable, TimeoutError):
        return endpoint.Answer(503, shapes.Ready(ready=False), {"retry-after": "5"})
    return endpoint.Answer(503 if reasons else 200, told or shapes.Ready(ready=not reasons))


def _reasons(call: Plain, state: house.State) -> list[str]:
    reasons = ["the server stops"] if call.context.stopping.is_set() else []
    if state.pause_streak > 0:  # between two pauses too, until something was answered
        reasons.append(f"the upstream is not asked now: {state.pause_reason}")
    patience = timedelta(seconds=call.timing.absent)
    if state.worker_seen_at is None or call.now - state.worker_seen_at > patience:
        reasons.append("no worker was seen lately")
    return reasons


async def _details(call: Plain, state: house.State, reasons: list[str]) -> shapes.Readiness:
    """Overdue runs and failing jobs concern their runs alone, so they are named and do not count."""
    seen = state.worker_seen_at
    failing, _ = await call.database.read(jobs.page, jobs.Query(state=jobs.State.FAILING, limit=NAMED), call.now)
    return shapes.Readiness(
        ready=not reasons,
        reasons=reasons,
        upstream_ok_at=state.upstream_ok_at,
        worker_seconds=None if seen is None else (call.now - seen).total_seconds(),
        overdue_runs=await call.database.read(runs.overdue, call.now),
        failing_jobs=await call.database.read(backlog.failing),
        failing=shapes.readable(failing, shapes.Job.of)[0],
        warnings=[
            *_warnings(await call.database.read(backlog.dead)),
            *await _unsent(call, state),
            *await _unindexed(call),
            *await call.context.warnings(call.now),
        ],
    )


async def _unsent(call: Plain, state: house.State) -> list[str]:
    """Notifications that no worker which was seen lately can send."""
    if state.has_notifier(call.now, call.timing.absent):
        return []
    count = await call.database.read(backlog.open_count, states.Kind.NOTIFY)
    return [NOBODY_NOTIFIES.format(count=count)] if count else []


async def _unindexed(call: Plain) -> list[str]:
    """Return what to say of runs that the indexer does not come to, or passes over since they break it."""
    count, run_id = await call.database.read(search.waits_longest, call.now - BEHIND)
    return [NOT_INDEXED.format(count=count, run_id=run_id)] if count else []


def _warnings(dead: Mapping[states.Kind, int]) -> list[str]:
    """What no run waits for, and somebody should look at all the same."""
    return [
        f"{count} {kind} {'job was' if count == 1 else 'jobs were'} given up: "
        f"`runledger jobs --by cause` tells why, `runledger jobs retry --kind {kind}` tries again"
        for kind, count in dead.items()
    ]


async def get_metrics(call: Plain) -> endpoint.Answer:
    """The metrics in Prometheus text form; a key is needed unless the settings open them."""
    if not call.context.metrics_open:
        access.demand(call.caller, access.Scope.READ)
    text, media_type = await call.context.metrics.metrics(call.database, call.now)
    return endpoint.Answer(200, text, media_type=media_type)


async def get_description(call: Plain) -> endpoint.Answer:
    """The OpenAPI description of this interface, which says where it is mounted."""
    text, root = await asyncio.to_thread(call.describe), call.address("")
    if not root:
        return endpoint.Answer(200, text)
    described = json.loads(text) | {"servers": [{"url": root}]}
    return endpoint.Answer(200, json.dumps(described, indent=1).encode())


OPERATIONS = (
    endpoint.Operation(
        "GET",
        "/healthz",
        "Whether the process answers, and goes on to",
        get_health,
        {200: shapes.Alive, 503: shapes.Alive},
        tag="house",
    ),
    endpoint.Operation(
        "GET",
        "/readyz",
        "Whether the house can do its work",
        get_readiness,
        {200: shapes.Readiness, 503: shapes.Readiness},
        asks_who=True,
        tag="house",
    ),
    endpoint.Operation(
        "GET",
        "/metrics",
        "Metrics in Prometheus text form",
        get_metrics,
        {200: "text/plain"},
        asks_who=True,
        problems=(401, 403),
        tag="house",
    ),
    endpoint.Operation(
        "GET", "/openapi.json", "This description", get_description, {200: "application/json"}, tag="house"
    ),
)
