"""A run's life in a few words: values as senders and the upstream bring them, and runs brought to a certain point.

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

import zstandard
from sqlalchemy import Connection, or_, update

from storage import ids, merkle, states
from storage.engine.database import Database
from storage.repositories import deliveries, documents, jobs, ledger_changes, runs, system_state, webhook_endpoints
from storage.search import index
from storage.tables.jobs import JOBS
from storage.transitions import settling, starting, submitting, webhook_changes

#: When tests begin. It never moves: `at(seconds)` is later.
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
#: How long leases last in tests.
LEASE = timedelta(minutes=1)
#: The death of jobs that are set aside for a moment.
_ASIDE = datetime(1970, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """The instant so many seconds after `NOW`."""
    return NOW + timedelta(seconds=seconds)


def nonce(kind: str) -> str:
    """A word that no other test uses."""
    return f"{kind}_{secrets.token_hex(8)}"


def submission(**changes: Any) -> runs.Submission:
    """What a backend submits."""
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
    """A verified callback of a watcher, with `changes`. Its dedupe key is its run or event."""
    body: bytes = changes.get("body", b'{"runId":"run_1","status":"completed"}')
    key = changes.get("event_id") or changes.get("run_id") or nonce("key")
    whole = deliveries.Delivery(
        id=ids.new(changes.get("received_at", NOW)),
        source=states.Source.WATCHER,
        dedupe_key=f"key:{key}",
        received_at=NOW,
        headers={"content-type": "application/json"},
        body=body,
        body_sha256=hashlib.sha256(body).hexdigest(),
        remote_addr="127.0.0.1",
        digests=merkle.salted_digest("body", body),
    )
    return replace(whole, **changes)


def event(upstream_id: str | None = None, **changes: Any) -> deliveries.Delivery:
    """A signed event of the platform, about an upstream run."""
    event_id = changes.pop("event_id", nonce("evt"))
    return delivery(source=states.Source.PLATFORM, event_id=event_id, upstream_id=upstream_id, **changes)


def steps(count: int, content: str = "Read the lease.") -> list[documents.Step]:
    """A trace of so many tool calls."""
    return [
        documents.Step(
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


def usage(count: int) -> list[documents.Usage]:
    """So many calls of a model, a thousandth of a dollar each."""
    return [
        documents.Usage(
            place, f"use_{place}", "llm", "openai", "/chat", "POST", 200, 1000, 30, 12, 42, "m-1", at(place),
            {"cached": False}, merkle.salt(),
        )
        for place in range(count)
    ]  # fmt: skip


def document(body: bytes = b'{"status":"completed"}', fetched_at: datetime = NOW) -> documents.Document:
    """An answer of the upstream as it is stored."""
    frame = zstandard.ZstdCompressor(level=3).compress(body)
    return documents.Document(frame, hashlib.sha256(body).hexdigest(), len(body), fetched_at)


def measures(**changes: Any) -> settling.Measures:
    """What a finished run took, cost and said."""
    whole = settling.Measures(
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
    """A terminal answer of the upstream, read, compressed and hashed."""
    taken: settling.Measures = changes.pop("measures", measures())
    digests = (
        *merkle.salted_digest("output", None if taken.output is None else taken.output.encode()),
        *merkle.salted_digest("summary", None if taken.summary is None else taken.summary.encode()),
        *merkle.salted_digest("document", body),
    )
    whole = settling.Result(status, taken, steps(3), usage(2), document(body), digests)
    return replace(whole, **changes)


async def claimed(
    database: Database, kind: states.Kind, run_id: str = "", now: datetime = NOW, owner: str = "worker"
) -> jobs.Claim:
    """The due job of that kind and run under a lease; other jobs stay as they are."""
    return await database.write(claim, kind, run_id, now, owner)


def claim(
    connection: Connection, kind: states.Kind, run_id: str = "", now: datetime = NOW, owner: str = "worker"
) -> jobs.Claim:
    """As `claimed`, within a transaction."""
    others = or_(JOBS.c.kind != kind.value, JOBS.c.run_id != run_id)
    connection.execute(update(JOBS).where(others, JOBS.c.dead_at.is_(None)).values(dead_at=_ASIDE))
    taken = jobs.claim(connection, now=now, until=now + LEASE, owner=owner, limit=1)
    connection.execute(update(JOBS).where(JOBS.c.dead_at == _ASIDE).values(dead_at=None))
    assert taken, f"no {kind} of run {run_id or '-'} is due"
    return taken[0]


async def accepted(database: Database, **changes: Any) -> runs.Run:
    """A run that was submitted; nothing else happened yet."""
    return (await database.write(submitting.submit, submission(**changes))).run


async def queued(database: Database, upstream_id: str | None = None, **changes: Any) -> runs.Run:
    """A run whose upstream id is committed. Its start job is claimed until a minute after `NOW`."""
    return (await _queued(database, upstream_id, **changes))[0]


async def _queued(database: Database, upstream_id: str | None, **changes: Any) -> tuple[runs.Run, jobs.Claim]:
    run = await accepted(database, **changes)
    start = await claimed(database, states.Kind.START, run.id)
    made = starting.CreatedRun(upstream_id or nonce("run"), at(1), watched=True)
    linked = await database.write(starting.record_created, start, made, at(1))
    assert linked is starting.LinkResult.RUN
    return await found(database, run.id), start


async def running(database: Database, upstream_id: str | None = None, **changes: Any) -> runs.Run:
    """A run that was executed. It has no job."""
    run, start = await _queued(database, upstream_id, **changes)
    await database.write(starting.record_started, start, "exec", at(2), at(3600))
    return await found(database, run.id)


async def settled_run(
    database: Database,
    status: states.Status = states.COMPLETED,
    upstream_id: str | None = None,
    result: settling.Result | None = None,
    **changes: Any,
) -> runs.Run:
    """A run that lived and ended as `status` says, a minute after `NOW`, by a callback. It has no job."""
    run = await running(database, upstream_id, **changes)
    await settle(database, run, result or _ended(status))
    return await found(database, run.id)


def _ended(status: states.Status) -> settling.Result:
    return result(status, f'{{"status":"{status}"}}'.encode())


async def settle(
    database: Database,
    run: runs.Run,
    result: settling.Result,
    now: datetime = NOW + timedelta(seconds=63),
    source: states.Source = states.Source.WATCHER,
) -> bool:
    """Report the end by that source and store `result`; whether that settled the run."""
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SETTLE, run.id, now, source)])
    job = await claimed(database, states.Kind.SETTLE, run.id, now)
    return await database.write(settling.record_result, job, result, now, None)


async def wanted(database: Database, *, now: datetime = NOW, alone: bool = True, **what: bool) -> None:
    """Record which follow-up jobs a server requests for the end of a run."""
    await database.write(system_state.request_follow_ups, system_state.FollowUps(**what), now, alone=alone)


async def leased(database: Database, now: datetime = NOW) -> int:
    """Lease the webhook endpoint and free it again; the fence."""
    fence = await database.write(system_state.lease_webhooks, now, timedelta(minutes=1))
    assert fence is not None
    await database.write(system_state.free_webhooks, fence)
    return fence


async def requested(
    database: Database, endpoint_id: str, url: str, now: datetime = NOW
) -> tuple[webhook_endpoints.Endpoint | None, int]:
    """A secret is asked for, and the lease has lapsed since; the row as it was before, the request's fence."""
    fence = await leased(database, now)
    before = await database.write(webhook_changes.request_secret, endpoint_id, url, now, fence)
    await database.write(system_state.free_webhooks, fence)
    return before, fence


async def found(database: Database, run_id: str) -> runs.Run:
    """The run as it stands."""
    run = await database.read(runs.find, run_id)
    assert run is not None
    return run


async def indexed(database: Database) -> None:
    """Everything that waits for it can be found by its words."""
    while batch := await database.read(index.queued, 50):
        await database.write(index.add, batch)


async def told(database: Database, run_id: str) -> list[str]:
    """The kinds of a run's ledger entries, in order."""
    return [entry.kind for entry in await entries(database, run_id)]


async def entries(database: Database, run_id: str) -> Sequence[ledger_changes.Change]:
    """A run's ledger entries, in order."""
    return await database.read(ledger_changes.of_run, run_id)


async def open_jobs(database: Database, run_id: str) -> Sequence[str]:
    """The kinds of the jobs that a run has, sorted."""
    listed, _ = await database.read(jobs.page, jobs.Query(run_id=run_id), NOW)
    return sorted(job.kind.value for job in listed)
