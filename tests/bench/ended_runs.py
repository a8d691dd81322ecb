"""A store of runs that have ended, made by the product's own transitions, some hundred runs a transaction.

A third was adopted, a third was submitted and settled by the sweep, and a third by a callback: 3, 4 and 5 entries.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from storage import ids, merkle, results, states
from storage.engine.database import Database
from storage.ledger import checkpoints, entries
from storage.repositories import deliveries, jobs, runs
from storage.transitions import adopting, receiving, settling, starting, submitting
from tests import life
from tests.bench.query.store import Texts

#: Runs of one transaction.
GROUP = 300
_LEASE, _FOLLOWED = timedelta(minutes=5), timedelta(hours=1)
_texts = Texts()


async def fill(store: Database, count: int) -> None:
    """Make runs that have ended."""
    for first in range(0, count, GROUP):
        at = life.NOW + timedelta(seconds=first)
        await store.write(_make, range(first, min(first + GROUP, count)), at)


async def sign(store: Database, name: str, line: checkpoints.Sign) -> None:
    """Number and sign all entries, with a checkpoint every hour."""
    while await store.write(entries.number, 10_000):
        pass
    at = life.NOW
    while await store.write(checkpoints.sign_next, name, line, at):
        at += timedelta(hours=1)


def _make(connection: Connection, numbers: Sequence[int], at: datetime) -> None:
    adopted, submitted, called = numbers[::3], numbers[1::3], numbers[2::3]
    for number in adopted:
        adoption = adopting.Adoption(
            ids.new(at), f"run_a{number}", "backend", states.Source.REQUEST, at, at + _FOLLOWED
        )
        adopting.adopt(connection, adoption)
    for claim in _claims(connection, at):
        adopting.complete_ended_adoption(connection, claim, _details(at), _result(at), at, None)
    new = [_submission(at) for _ in (*submitted, *called)]
    submitting.submit(connection, new)
    for number, claim in zip((*submitted, *called), _claims(connection, at), strict=True):
        starting.record_created(connection, claim, starting.CreatedRun(f"run_s{number}", at, watched=True), at)
        starting.record_started(connection, claim, "exec", at, at + _FOLLOWED)
    receiving.accept_delivery(connection, [_delivery(each.id, at) for each in new[: len(called)]])
    swept = [jobs.JobRequest(states.Kind.SETTLE, each.id, at, states.Source.SWEEP) for each in new[len(called) :]]
    jobs.enqueue(connection, swept)
    for claim in _claims(connection, at):
        settling.record_result(connection, claim, _result(at), at, None)


def _claims(connection: Connection, at: datetime) -> jobs.Claims:
    return jobs.claim(connection, now=at, until=at + _LEASE, owner="worker", limit=2 * GROUP)


def _details(at: datetime) -> adopting.UpstreamDetails:
    return adopting.UpstreamDetails("agent_7", _texts.of(6), "Be brief.", "m-7", at, at, "key:backend")


def _submission(at: datetime) -> runs.Submission:
    tags = {"matter": str(_texts.dice.randrange(1000)), "team": "b"}
    words = {"prompt": _texts.of(6), "guidance": "Be brief.", "object_ids": ("obj_1", "obj_2")}
    return life.submission(id=ids.new(at), accepted_at=at, expected_by=at + _FOLLOWED, tags=tags, **words)


def _delivery(run_id: str, at: datetime) -> deliveries.Delivery:
    body = json.dumps({"runId": run_id, "status": "completed", "summary": _texts.of(2)}).encode()
    return life.delivery(id=ids.new(at), run_id=run_id, received_at=at, body=body)


def _result(at: datetime) -> settling.Result:
    """Return an answer with three steps, two calls of a model, and a document of some 5 kB that has all of it."""
    times = {"created_at": at, "started_at": at, "completed_at": at}
    measures = life.measures(**times, output=_texts.of(18), summary=_texts.of(2))
    steps = [_step(each) for each in life.steps(3)]
    usage = [replace(each, metadata=merkle.encode(each.metadata)) for each in life.usage(2)]
    said = [
        measures.output,
        measures.summary,
        *(text for each in steps for text in (each.content, each.tool_output)),
    ]
    return life.result(body=json.dumps({"said": said}).encode(), measures=measures, steps=steps, usage=usage)


def _step(made: results.Step) -> results.Step:
    """Return a step with texts; its JSON is canonical, as that of the upstream is stored."""
    output = {"results": [_texts.of(3), _texts.of(2)], "took": 7}
    given, taken = merkle.encode(made.tool_input), merkle.encode(output)
    return replace(made, content=_texts.of(3), tool_input=given, tool_output=taken)
