"""The state of the deployment, for load balancers and monitoring, and the description of the API for programs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta

from receiver.api import jobs
from receiver.schemas import json_rows, responses
from receiver.web import authentication, operations
from receiver.web.authentication import Scope
from storage import errors, states
from storage.engine import column_types
from storage.repositories import job_counts, job_list, runs, system_state
from storage.search import index

#: Failing jobs that readiness names.
NAMED = 5
#: The time after which a run should be indexed.
BEHIND = timedelta(minutes=10)
NOT_INDEXED = (
    "{count} run(s) have waited for more than ten minutes to be found by their words, run {run_id} the longest: "
    "the log says why, by `run_indexing_failed`, or `indexer_paused`"
)
NOBODY_NOTIFIES = (
    "{count} notify job(s) wait, and no worker that has RUNLEDGER_NOTIFY_URL was seen lately: "
    "start one that has it, of the servers that share this database"
)

Plain = operations.Call[None, None]

router = operations.Router("system")


@router.operation(
    "GET",
    "/healthz",
    "Whether the process responds and is not stopping",
    {200: responses.Alive, 503: responses.Alive},
)
async def get_health(call: Plain) -> operations.Answer:
    """Answer whether the process responds and is not stopping. Nothing else is checked."""
    stops = call.context.stopping.is_set()
    return operations.Answer(503 if stops else 200, responses.Alive(ok=not stops, version=call.context.version))


@router.operation(
    "GET",
    "/readyz",
    "Whether the deployment can do its work",
    {200: responses.Readiness, 503: responses.Readiness},
    identifies_caller=True,
)
async def get_readiness(call: Plain) -> operations.Answer:
    """Answer whether runs that are submitted now will be executed. Reasons and details need an API key.

    A database that does not answer in time counts as unavailable: load balancers wait only briefly.
    """
    try:
        async with asyncio.timeout(call.timing.readiness):
            state = await call.database.read(system_state.read)
            reasons = _reasons(call, state)
            details = await _details(call, state, reasons) if call.caller is not authentication.ANONYMOUS else None
    except (errors.Unavailable, TimeoutError):
        return operations.Answer(503, responses.Ready(ready=False), {"retry-after": "5"})
    return operations.Answer(503 if reasons else 200, details or responses.Ready(ready=not reasons))


def _reasons(call: Plain, state: system_state.State) -> list[str]:
    reasons = ["the server stops"] if call.context.stopping.is_set() else []
    if state.pause_streak > 0:  # also between two pauses, until the upstream has answered
        reasons.append(f"the upstream is not asked now: {state.pause_reason}")
    longest = timedelta(seconds=call.timing.worker_gone_after)
    if state.worker_seen_at is None or call.now - state.worker_seen_at > longest:
        reasons.append("no worker was seen lately")
    return reasons


async def _details(call: Plain, state: system_state.State, reasons: list[str]) -> bytes:
    """Return the details. Overdue runs and failing jobs concern single runs, so they do not affect readiness."""
    seen = state.worker_seen_at
    newest = job_list.Query(state=states.JobState.FAILING, limit=NAMED)
    failing, _ = await call.database.read(job_list.page, newest, call.now)
    answered = state.upstream_ok_at
    details = {
        "ready": not reasons,
        "reasons": reasons,
        "upstreamOkAt": None if answered is None else column_types.instant_text(answered),
        "workerSeconds": None if seen is None else (call.now - seen).total_seconds(),
        "overdueRuns": await call.database.read(runs.overdue, call.now),
        "failingJobs": await call.database.read(job_counts.count_failing),
        "failing": jobs.JOBS.list_of(list(map(jobs.values, failing)))[0],
        "warnings": [
            *_warnings(await call.database.read(job_counts.count_dead)),
            *await _unsent(call, state),
            *await _unindexed(call),
            *await call.context.warnings(call.now),
        ],
    }
    return json_rows.encode(details)


async def _unsent(call: Plain, state: system_state.State) -> list[str]:
    """Return a warning when notifications wait and no worker that was seen lately can send them."""
    if state.has_notifier(call.now, call.timing.worker_gone_after):
        return []
    count = await call.database.read(job_counts.count_open, states.Kind.NOTIFY)
    return [NOBODY_NOTIFIES.format(count=count)] if count else []


async def _unindexed(call: Plain) -> list[str]:
    """Return a warning about runs that the indexer has not reached, or skips since they make it fail."""
    count, run_id = await call.database.read(index.waits_longest, call.now - BEHIND)
    return [NOT_INDEXED.format(count=count, run_id=run_id)] if count else []


def _warnings(dead: Mapping[states.Kind, int]) -> list[str]:
    """Return warnings about dead jobs: no run waits for them, but an operator should look at them."""
    return [
        f"{count} {kind} {'job was' if count == 1 else 'jobs were'} given up: "
        f"`runledger jobs --by cause` tells why, `runledger jobs retry --kind {kind}` tries again"
        for kind, count in dead.items()
    ]


@router.operation(
    "GET",
    "/metrics",
    "Metrics in Prometheus text form",
    {200: "text/plain"},
    identifies_caller=True,
    problems=(401, 403),
)
async def get_metrics(call: Plain) -> operations.Answer:
    """Answer with the metrics in Prometheus text form; an API key is needed unless the settings open them."""
    if not call.context.metrics_open:
        authentication.require_scope(call.caller, Scope.READ)
    text, media_type = await call.context.telemetry.metrics(call.database, call.now)
    return operations.Answer(200, text, media_type=media_type)


@router.operation("GET", "/openapi.json", "This description", {200: "application/json"})
async def get_description(call: Plain) -> operations.Answer:
    """Answer with the OpenAPI description of this API, which names the path where it is mounted."""
    text, root = await asyncio.to_thread(call.describe), call.mounted_path("")
    if not root:
        return operations.Answer(200, text)
    described = json.loads(text) | {"servers": [{"url": root}]}
    return operations.Answer(200, json.dumps(described, indent=1).encode())
