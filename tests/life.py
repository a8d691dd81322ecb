"""Values as senders and the upstream send them, and runs in each state of their lives.

run = await life.accepted(database)
run = await life.running(database, prompt="Review the lease.")
run = await life.settled_run(database, status=states.FAILED)
receipt = await database.write(transitions.accept_delivery, life.delivery(run_id=run.id))
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import zstandard
from sqlalchemy import Connection, or_, update

from storage import ids, merkle, results, states
from storage.engine.database import Database
from storage.repositories import (
    deliveries,
    documents,
    job_counts,
    job_list,
    jobs,
    ledger_changes,
    runs,
    system_state,
    webhook_endpoints,
)
from storage.retention import erasing
from storage.search import index
from storage.tables.jobs import JOBS
from storage.transitions import settling, starting, submitting, webhook_changes

#: The time at which tests begin; `at(seconds)` is later.
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
#: An erasure of all that is old.
OLD = erasing.Erasure("older than 90 days", "operator", states.ErasureCause.RETENTION)
#: How long leases last in tests.
LEASE = timedelta(minutes=1)
#: `dead_at` of jobs that `claim` excludes.
_EXCLUDED = datetime(1970, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the instant this many seconds after `NOW`."""
    return NOW + timedelta(seconds=seconds)


def nonce(kind: str) -> str:
    """Return a word that no other test uses."""
    return f"{kind}_{secrets.token_hex(8)}"


def submission(**changes: Any) -> runs.Submission:
    """Return what a backend submits."""
    whole = runs.Submission(
        id=ids.new(NOW),
        accepted_at=NOW,
        expected_by=at(3600),
        submitted_by="backend",
        actor="key:backend",
        agent_id="agent_1",
        prompt=f"Review the lease. {nonce('prompt')}",
    )
    return replace(whole, **changes)


def delivery(**changes: Any) -> deliveries.Delivery:
    """Return a verified callback of a watcher, with `changes`. Its dedupe key is its run or event."""
    body: bytes = changes.get("body", b'{"runId":"run_1","status":"completed"}')
    headers = changes.get("headers", merkle.CanonicalJson('{"content-type":"application/json"}'))
    key = changes.get("event_id") or changes.get("run_id") or nonce("key")
    whole = deliveries.Delivery(
        id=ids.new(changes.get("received_at", NOW)),
        source=states.Source.WATCHER,
        dedupe_key=f"key:{key}",
        received_at=NOW,
        headers=headers,
        body=body,
        body_sha256=hashlib.sha256(body).hexdigest(),
        remote_addr="127.0.0.1",
        digests=(*merkle.salted_digest("headers", headers), *merkle.salted_digest("body", body)),
    )
    return msgspec.structs.replace(whole, **changes)


def event(upstream_id: str | None = None, **changes: Any) -> deliveries.Delivery:
    """Return a signed event of the platform about an upstream run."""
    event_id = changes.pop("event_id", nonce("evt"))
    return delivery(source=states.Source.PLATFORM, event_id=event_id, upstream_id=upstream_id, **changes)


def steps(count: int, content: str = "Read the lease.") -> list[results.Step]:
    """Return a trace of this many tool calls."""
    return [
        results.Step(
            place,
            f"step_{place}",
            "tool_call",
            content,
            "search",
            {"q": "lease"},
            ["é", 1],
            20,
            at(place),
            merkle.salt(),
        )
        for place in range(count)
    ]


def usage(count: int) -> list[results.Usage]:
    """Return the usage of this many calls of a model, a thousandth of a dollar each."""
    return [
        results.Usage(
            place, f"use_{place}", "llm", "openai", "/chat", "POST", 200, 1000, 30, 12, 42, "m-1", at(place),
            {"cached": False}, merkle.salt(),
        )
        for place in range(count)
    ]  # fmt: skip


def document(body: bytes = b'{"status":"completed"}', fetched_at: datetime = NOW) -> documents.Document:
    """Return an answer of the upstream as it is stored."""
    frame = zstandard.ZstdCompressor(level=3).compress(body)
    return documents.Document(frame, hashlib.sha256(body).hexdigest(), len(body), fetched_at)


def measures(**changes: Any) -> results.Measures:
    """Return the times, sums and texts of a finished run."""
    whole = results.Measures(
        created_at=at(1),
        started_at=at(2),
        completed_at=at(62),
        duration_ms=60_000,
        input_tokens=90,
        output_tokens=36,
        tool_calls=2,
        cost_micros=3000,
        output="The lease is void.",
        summary="Void.",
    )
    return replace(whole, **changes)


def result(
    status: states.Status = states.COMPLETED, body: bytes = b'{"status":"completed"}', **changes: Any
) -> settling.Result:
    """Return a terminal answer of the upstream, parsed, compressed and hashed."""
    taken: results.Measures = changes.pop("measures", measures())
    digests = (
        *merkle.salted_digest("output", None if taken.output is None else taken.output.encode()),
        *merkle.salted_digest("summary", None if taken.summary is None else taken.summary.encode()),
        *merkle.salted_digest("failureReason", taken.failure_reason),
        *merkle.salted_digest("document", body),
    )
    whole = settling.Result(status, taken, steps(3), usage(2), document(body), digests)
    return replace(whole, **changes)


async def claimed(
    database: Database, kind: states.Kind, run_id: str = "", now: datetime = NOW, owner: str = "worker"
) -> jobs.Claim:
    """Lease the due job of that kind and run; other jobs stay as they are."""
    return await database.write(claim, kind, run_id, now, owner)


def claim(
    connection: Connection, kind: states.Kind, run_id: str = "", now: datetime = NOW, owner: str = "worker"
) -> jobs.Claim:
    """Lease a job as `claimed` does, within a transaction."""
    others = or_(JOBS.c.kind != kind.value, JOBS.c.run_id != run_id)
    connection.execute(update(JOBS).where(others, JOBS.c.dead_at.is_(None)).values(dead_at=_EXCLUDED))
    taken = jobs.claim(connection, now=now, until=now + LEASE, owner=owner, limit=1)
    connection.execute(update(JOBS).where(JOBS.c.dead_at == _EXCLUDED).values(dead_at=None))
    assert taken, f"no {kind} of run {run_id or '-'} is due"
    return taken[0]


async def next_due(database: Database, now: datetime, lane: Sequence[int] = states.EVERY_LANE) -> datetime | None:
    """Return when the next job of these priorities is due."""
    return job_counts.earliest(await database.read(job_counts.next_due, now), lane)


def submitted(connection: Connection, **changes: Any) -> runs.Run:
    """Submit a run within a transaction."""
    new = submission(**changes)
    return submitting.submit(connection, [new])[new.id].run


async def accepted(database: Database, **changes: Any) -> runs.Run:
    """Submit a run; nothing else has happened to it yet."""
    return (await database.write(submitting.submit, submission(**changes))).run


async def queued(database: Database, upstream_id: str | None = None, **changes: Any) -> runs.Run:
    """Store the upstream id of a new run. Its start job is leased until a minute after `NOW`."""
    return (await _queued(database, upstream_id, **changes))[0]


async def _queued(database: Database, upstream_id: str | None, **changes: Any) -> tuple[runs.Run, jobs.Claim]:
    run = await accepted(database, **changes)
    start = await claimed(database, states.Kind.START, run.id)
    made = starting.CreatedRun(upstream_id or nonce("run"), at(1), watched=True)
    linked = await database.write(starting.record_created, start, made, at(1))
    assert linked is starting.LinkResult.RUN
    return await get_run(database, run.id), start


async def running(database: Database, upstream_id: str | None = None, **changes: Any) -> runs.Run:
    """Execute a run. It has no job."""
    run, start = await _queued(database, upstream_id, **changes)
    await database.write(starting.record_started, start, "exec", at(2), at(3600))
    return await get_run(database, run.id)


async def settled_run(
    database: Database,
    status: states.Status = states.COMPLETED,
    upstream_id: str | None = None,
    result: settling.Result | None = None,
    **changes: Any,
) -> runs.Run:
    """Settle a run by a callback, a minute after `NOW`. It has no job."""
    run = await running(database, upstream_id, **changes)
    await settle(database, run, result or _ended(status))
    return await get_run(database, run.id)


def _ended(status: states.Status) -> settling.Result:
    return result(status, f'{{"status":"{status}"}}'.encode())


async def settle(
    database: Database,
    run: runs.Run,
    result: settling.Result,
    now: datetime = NOW + timedelta(seconds=63),
    source: states.Source = states.Source.WATCHER,
) -> bool:
    """Report the end by that source and store `result`; return whether that settled the run."""
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SETTLE, run.id, now, source)])
    job = await claimed(database, states.Kind.SETTLE, run.id, now)
    return await database.write(settling.record_result, job, result, now, None)


async def request_follow_ups(database: Database, *, now: datetime = NOW, alone: bool = True, **what: bool) -> None:
    """Record which follow-up jobs a server requests for the end of a run."""
    await database.write(system_state.request_follow_ups, system_state.FollowUps(**what), now, alone=alone)


async def lease_and_free(database: Database, now: datetime = NOW) -> int:
    """Lease the webhook endpoint and free it again; return the fence."""
    fence = await database.write(system_state.lease_webhooks, now, timedelta(minutes=1))
    assert fence is not None
    await database.write(system_state.free_webhooks, fence)
    return fence


async def request_secret(
    database: Database, endpoint_id: str, url: str, now: datetime = NOW
) -> tuple[webhook_endpoints.Endpoint | None, int]:
    """Request a webhook secret, and free the lease; return the row as it was before and the request's fence."""
    fence = await lease_and_free(database, now)
    before = await database.write(webhook_changes.request_secret, endpoint_id, url, now, fence)
    await database.write(system_state.free_webhooks, fence)
    return before, fence


async def get_run(database: Database, run_id: str) -> runs.Run:
    """Return the run as it is stored now."""
    run = await database.read(runs.find, run_id)
    assert run is not None
    return run


async def indexed(database: Database) -> None:
    """Index all queued runs, so that a search finds their words."""
    while batch := await database.read(index.queued, 50):
        await database.write(index.add, batch)


async def ledger_kinds(database: Database, run_id: str) -> list[str]:
    """Return the kinds of a run's ledger entries, in order."""
    return [entry.kind for entry in await entries(database, run_id)]


async def entries(database: Database, run_id: str) -> Sequence[ledger_changes.Change]:
    """Return a run's ledger entries, in order."""
    return await database.read(ledger_changes.of_run, run_id)


async def open_jobs(database: Database, run_id: str) -> Sequence[str]:
    """Return the kinds of the jobs that a run has, sorted."""
    listed, _ = await database.read(job_list.page, job_list.Query(run_id=run_id), NOW)
    return sorted(job.kind.value for job in listed)
