"""What the database of the pages has besides the runs of the queries: deliveries, and a run of very many steps."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select

from storage import merkle, results, states
from storage.engine import connections
from storage.engine.database import Database
from storage.maintenance import moving
from storage.tables.deliveries import DELIVERIES
from storage.tables.runs import RUNS
from tests import life, server
from tests.bench.query import store

#: The steps of the large run, and the sentences of each: 2 kB, so that all of them are 10 MB.
STEPS, SENTENCES = 5_000, 28
#: The agent of the large run, by which it is found again.
AGENT = "agent_large"
#: Deliveries of one statement.
_GROUP = 5_000


async def add(place: server.Site, count: int, steps: int) -> str:
    """Add what the database has not yet; return the id of the large run, which is made with so many steps."""
    engine = connections.engine(place.url, readonly=False, connections=1)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # the store's runs have keys of their own
            moving.advance_sequence(connection, RUNS, "seq")
        _add_deliveries(connection, count)
        found = connection.execute(select(RUNS.c.id).where(RUNS.c.agent_id == AGENT)).scalar()
    engine.dispose()
    return found or await _add_run(place, steps)


def _add_deliveries(connection: Connection, count: int) -> None:
    if connection.execute(select(func.count()).select_from(DELIVERIES)).scalar_one():
        return
    for first in range(1, count + 1, _GROUP):
        rows = [_delivery(seq, count) for seq in range(first, min(first + _GROUP, count + 1))]
        connection.execute(insert(DELIVERIES), rows)


def _delivery(seq: int, count: int) -> dict[str, Any]:
    body = json.dumps({"runId": f"run_{seq}", "status": "completed"}).encode()
    rejected = {"verdict": states.Verdict.REJECTED, "reason": "signature", "source": states.Source.PLATFORM}
    accepted = {"verdict": states.Verdict.ACCEPTED, "reason": None, "source": states.Source.WATCHER}
    return {
        "id": f"00000000-0000-7000-9000-{seq:012d}", "run_id": store.id_of(seq), "upstream_id": f"run_{seq}",
        "received_at": store.NOW - timedelta(seconds=(count - seq) * 90), "remote_addr": "192.0.2.7",
        "headers": {"content-type": "application/json"}, "body": body, "body_sha256": "00" * 32, "size": len(body),
        "repeats": 0, **(rejected if seq % 50 == 0 else accepted),
    }  # fmt: skip


async def _add_run(place: server.Site, steps: int) -> str:
    texts = store.Texts()
    made = life.result(steps=[_step(texts, at) for at in range(steps)])
    async with Database(place.url) as database:
        run = await life.settled_run(database, result=made, agent_id=AGENT)
        await life.indexed(database)
    return run.id


def _step(texts: store.Texts, at: int) -> results.Step:
    moment, text = life.at(2 + at * 0.1), texts.of(SENTENCES)
    if at % 10 == 0:
        return results.Step(at, f"s{at}", "thinking", text, None, None, None, 90, moment, merkle.salt())
    given, found = {"query": f"clause {at}"}, {"results": [text]}
    return results.Step(at, f"s{at}", "tool_call", None, "search", given, found, 90, moment, merkle.salt())
