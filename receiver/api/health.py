"""The state of the deployment, for load balancers and monitoring, and the description of the API for programs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from receiver.api import jobs
from receiver.schemas import json_rows, responses
from receiver.web import authentication, operations, readiness
from receiver.web.authentication import Scope
from storage import errors, states
from storage.engine import column_types
from storage.engine.database import Reader, Snapshot
from storage.repositories import job_list

#: Failing jobs that readiness names.
NAMED = 5

Plain = operations.Call[None, None]

router = operations.Router("system")


@router.operation(
    "GET",
    "/healthz",
    "Check whether the process responds and is not stopping",
    {200: responses.Alive, 503: responses.Alive},
)
async def get_health(call: Plain) -> operations.Answer:
    """Answer whether the process responds and is not stopping. Nothing else is checked."""
    stops = call.context.stopping.is_set()
    return operations.Answer(503 if stops else 200, responses.Alive(ok=not stops, version=call.context.version))


@router.operation(
    "GET",
    "/readyz",
    "Check whether the deployment can do its work",
    {200: responses.Readiness, 503: responses.Readiness},
    identifies_caller=True,
)
async def get_readiness(call: Plain) -> operations.Answer:
    """Answer whether runs that are submitted now will be executed. Reasons and details need an API key.

    A database that does not answer in time counts as unavailable: load balancers wait only briefly.
    """
    try:
        async with asyncio.timeout(call.timing.readiness):
            facts, failing = await call.database.read_by(Reader.PLAIN, lambda store: _read(call, store))
            stops = ["the server stops"] if call.context.stopping.is_set() else []
            reasons = [*stops, *facts.reasons]
            warnings = await call.context.warnings(call.now) if _is_known(call) else ()
    except (errors.Unavailable, TimeoutError):
        return operations.Answer(503, responses.Ready(ready=False), {"retry-after": "5"})
    status = 503 if reasons else 200
    if not _is_known(call):
        return operations.Answer(status, responses.Ready(ready=not reasons))
    return operations.Answer(status, _details(facts, failing, reasons, warnings))


def _is_known(call: Plain) -> bool:
    return call.caller is not authentication.ANONYMOUS


def _read(call: Plain, store: Snapshot) -> tuple[readiness.Facts, Sequence[job_list.Job]]:
    """Return what is known, and jobs that fail; only the shared state for a caller without an API key."""
    if not _is_known(call):
        return readiness.read_state(store, call.now, call.timing.worker_gone_after), ()
    facts = readiness.read(store, call.now, call.timing.worker_gone_after)
    newest = job_list.Query(state=states.JobState.FAILING, limit=NAMED)
    failing, _ = store.read(job_list.page, newest, call.now)
    return facts, failing


def _details(
    facts: readiness.Facts,
    failing: Sequence[job_list.Job],
    reasons: Sequence[str],
    warnings: Sequence[str],
) -> bytes:
    """Return the details. Overdue runs and failing jobs concern single runs, so they do not affect readiness."""
    seen, answered = facts.state.worker_seen_at, facts.state.upstream_ok_at
    details = {
        "ready": not reasons,
        "reasons": reasons,
        "upstreamOkAt": None if answered is None else column_types.instant_text(answered),
        "workerSeconds": None if seen is None else (facts.now - seen).total_seconds(),
        "overdueRuns": facts.overdue,
        "failingJobs": facts.failing,
        "failing": jobs.JOBS.list_of(list(map(jobs.values, failing)))[0],
        "warnings": [*facts.warnings, *warnings],
    }
    return json_rows.encode(details)


@router.operation(
    "GET",
    "/metrics",
    "Get the metrics in Prometheus text form",
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


@router.operation("GET", "/openapi.json", "Get this description", {200: "application/json"})
async def get_description(call: Plain) -> operations.Answer:
    """Answer with the OpenAPI description of this API, which names the path where it is mounted."""
    text, root = await asyncio.to_thread(call.describe), call.mounted_path("")
    if not root:
        return operations.Answer(200, text)
    described = json.loads(text) | {"servers": [{"url": root}]}
    return operations.Answer(200, json.dumps(described, indent=1).encode())
