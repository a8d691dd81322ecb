"""A small store with a run of every kind, deliveries of every kind, and signed checkpoints."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from receiver.crypto import log_keys, log_notes
from storage import ids, merkle, states
from storage.actions import completeness, reviews
from storage.engine.database import Database
from storage.ledger import checkpoints, entries, witnessing
from storage.query import grammar, run_chunks, value_ranges
from storage.repositories import deliveries, jobs, runs
from storage.retention import erasing, holds, unmatched
from storage.states import Kind, Source
from storage.transitions import (
    adopting,
    importing,
    receiving,
    settling,
    starting,
    submitting,
)
from tests import life
from tests.tamper import opened

#: Everything that was settled before the content of old runs is removed.
_OLD = grammar.InRange("settled", (value_ranges.Range(high=life.at(1000), excludes_high=True),))
_CONTENT: dict[str, Any] = {
    "guidance": "Be brief.",
    "object_ids": ("obj_1", "obj_é"),
    "tags": {"matter": "7", "team": "b"},
}


async def fill(database: Database, signer: log_keys.Signer = opened.SIGNER) -> None:
    """Make every kind of run and delivery, with a checkpoint after each part."""
    for second, part in enumerate((_old, _settled, _live, _adopted, _decided, _unlinked)):
        await part(database)
        await sign(database, life.at(2000 + second), signer)


async def sign(database: Database, now: datetime, signer: log_keys.Signer = opened.SIGNER) -> None:
    """Number what is new, and sign it. Checkpoints of one hour are kept: `now` is taken as hours."""
    await database.write(entries.number, 10_000)
    hours = life.NOW + (now - life.NOW) * 3600
    await database.write(checkpoints.sign_next, signer.name, lambda text: [signer.line(text)], hours)
    signed, witness = await database.read(checkpoints.newest), opened.WITNESS
    assert signed is not None
    line = witness.line(log_notes.split(signed.note)[0], int(hours.timestamp()))
    await database.write(witnessing.store, signed, {witness.public.title: line}, hours)
    await database.write(witnessing.update_quorum, signer.name, [witness.public.title], 1, hours)


async def _old(database: Database) -> None:
    """Two runs whose content is removed, one with a delivery that came before its run was known."""
    await _deliver(database, life.event("run_early", received_at=life.at(1)))
    run = await life.settled_run(database, upstream_id="run_early", **_CONTENT)
    await _deliver(database, life.delivery(run_id=run.id, upstream_id="run_early"))
    await life.settled_run(database, states.FAILED)
    await database.write(erasing.erase, _OLD, life.OLD, life.at(1500))
    await _deliver(database, life.delivery(run_id=run.id, upstream_id="run_early", received_at=life.at(1600)))


async def _settled(database: Database) -> None:
    run = await life.settled_run(database, upstream_id="run_done", **_CONTENT)
    first = life.delivery(run_id=run.id, upstream_id="run_done")
    again = life.delivery(run_id=run.id, upstream_id="run_done", dedupe_key=first.dedupe_key, body=b'{"again":1}')
    await _deliver(database, first, again, life.event("run_done", event_type="run.completed", secret_used="s1"))
    further = life.result(
        body=b'{"more":true}', measures=life.measures(output="The lease is valid."), usage=life.usage(3)
    )
    await life.settle(database, run, further, life.at(700))
    failed = life.measures(output=None, summary=None, failure_reason="No budget.", failure_source="logs")
    await life.settled_run(database, states.FAILED, result=life.result(states.FAILED, measures=failed, steps=[]))
    await life.settled_run(database, states.CANCELLED, instructions="Read it all.", agent_id=None, model="m-2")
    await database.write(
        submitting.change_tags, run.id, {"matter": None, "team": "c", "é": "ü"}, "key:backend", life.at(800)
    )
    await _review(database, run)
    (record,) = await database.read(run_chunks.read, [run.seq], run_chunks.Parts(documents=True))
    elsewhere = replace(record.run, id=ids.new(life.NOW), upstream_id="run_elsewhere", idempotency_key=None)
    await database.write(importing.import_runs, [replace(record, run=elsewhere)], "operator", life.at(900))
    empty = replace(
        record.run, id=ids.new(life.NOW), upstream_id=None, tags={}, step_count=0, pruned_at=life.at(850)
    )
    await database.write(importing.import_runs, [run_chunks.Record(empty)], "operator", life.at(901))


async def _review(database: Database, run: runs.Run) -> None:
    said = [(states.ReviewVerdict.REJECTED, "Too short."), (states.ReviewVerdict.APPROVED, None)]
    said.append((states.ReviewVerdict.COMMENT, "Read by two."))
    for second, (verdict, comment) in enumerate(said):
        at = life.at(910 + second)
        await database.write(reviews.add, reviews.Review(ids.new(at), run.id, verdict, comment, "key:anna", at))


async def _live(database: Database) -> None:
    run = await life.accepted(database, **_CONTENT, idempotency_key="k1", request_sha256="00")
    await database.write(submitting.request_cancel, run.id, "key:backend", life.at(5))
    await life.accepted(database, again_of=run.id)
    await life.queued(database)
    running = await life.running(database, upstream_id="run_live", tags={"a": "b"})
    await database.write(submitting.change_tags, running.id, {"a": None}, "key:backend", life.at(6))
    await database.write(submitting.request_cancel, running.id, "key:backend", life.at(7))
    await database.write(starting.record_orphan, running.id, "run_orphan", life.at(8))
    refused = await life.accepted(database, instructions="Count.", agent_id=None)
    claim = await life.claimed(database, Kind.START, refused.id)
    await database.write(starting.refuse, claim, "No such model.", life.at(9))
    await _lose(database, await life.running(database))


async def _lose(database: Database, run: runs.Run) -> None:
    await _request(database, Kind.SETTLE, run.id, life.at(50))
    claim = await life.claimed(database, Kind.SETTLE, run.id, life.at(50))
    await database.write(settling.record_missing, claim, life.at(50), life.at(90_000), "HTTP 404", lost=True)


async def _request(database: Database, kind: Kind, run_id: str, at: datetime) -> None:
    await database.write(jobs.enqueue, [jobs.JobRequest(kind, run_id, at, Source.WATCHER)])


async def _adopted(database: Database) -> None:
    details = adopting.UpstreamDetails(
        "agent_7", "Prüfe.", "Kürze.", "m-7", life.at(-100), life.at(-90), "key:backend"
    )
    await _adopt(database, "run_unfetched")
    live, claim = await _adopt(database, "run_adopted")
    await database.write(adopting.complete_adoption, claim, details, states.RUNNING, life.at(1))
    _, claim = await _adopt(database, "run_ended")
    await database.write(adopting.complete_ended_adoption, claim, details, life.result(), life.at(2), None)
    _, claim = await _adopt(database, "run_refused")
    await database.write(starting.refuse, claim, "Run not found", life.at(3))
    _, claim = await _adopt(database, "run_reopened")
    await database.write(starting.refuse, claim, "Run not found", life.at(3))
    _, claim = await _adopt(database, "run_reopened", life.at(60))
    await database.write(adopting.complete_ended_adoption, claim, details, life.result(), life.at(61), None)
    await life.settle(database, live, life.result(states.FAILED))


async def _adopt(database: Database, upstream_id: str, at: datetime = life.NOW) -> tuple[runs.Run, jobs.Claim]:
    adoption = adopting.Adoption(ids.new(at), upstream_id, "backend", Source.REQUEST, at, life.at(3600))
    run, _ = await database.write(adopting.adopt, adoption)
    return run, await life.claimed(database, Kind.ADOPT, run.id, at)


async def _decided(database: Database) -> None:
    """Holds of each scope, one of them released, and a report of completeness."""
    run = await life.settled_run(database, upstream_id="run_held")
    targets = {states.HoldScope.RUN: run.id, states.HoldScope.TAG: "é=ü"}
    targets |= {states.HoldScope.QUESTION: "status:failed cost:>1"}
    for second, (scope, target) in enumerate(targets.items()):
        at = life.at(70 + second)
        await database.write(holds.place, holds.Hold(ids.new(at), scope, target, "Case 7", "key:anna", at))
    for hold in (await database.read(holds.page))[0][:2]:
        await database.write(holds.release, hold.id, "operator", life.at(90))
    report = completeness.Report(
        ids.new(life.NOW), life.NOW, life.at(0), life.at(9), {"listed": 1, "stored": 1}, "{}",
        merkle.salted_digest("report", "{}"),
    )  # fmt: skip
    await database.write(completeness.record, report, "operator")


async def _unlinked(database: Database) -> None:
    """Deliveries of no run, some of which are emptied, and entries about the deployment."""
    await _deliver(database, life.event("run_unknown", received_at=life.at(1)))
    await database.write(
        unmatched.remove_unmatched, unmatched.UnmatchedFilter(life.at(2)), life.at(10), "operator"
    )
    await _deliver(database, life.event("run_unknown", received_at=life.at(3)))
    await database.write(_fill_rest)


def _fill_rest(connection: Connection) -> None:
    """Append entries until a whole tile is stored."""
    facts: dict[str, Any] = {"hour": "2026-11-23T12:00:00.000000Z", "counts": {"bad signature": 1}}
    rest = [
        entries.Entry(entries.Kind.REJECTIONS_COUNTED, life.at(n), None, "worker", facts) for n in range(_FILLED)
    ]
    entries.append(connection, rest)


_FILLED = 250


async def _deliver(database: Database, *found: deliveries.Delivery) -> None:
    for each in found:
        await database.write(receiving.accept_delivery, each)
