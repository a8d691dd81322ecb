"""Erasure of a run's content on request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from receiver.schemas import retention
from receiver.web import operations, run_ids
from receiver.web.authentication import Scope
from storage.engine import database
from storage.maintenance import vacuum
from storage.query import run_lines
from storage.retention import erasing

Erasing = operations.Call[None, retention.ErasureRequest]

router = operations.Router("runs")


@router.operation(
    "POST",
    "/v1/runs/{id}/erase",
    "Erase the content of a run",
    {200: retention.Erasure},
    Scope.ADMIN,
    problems=(404, 409),
)
async def erase_run(call: Erasing) -> operations.Answer:
    """Remove the content of a run that has ended, with the salts of its digests; every proof stays valid.

    What was removed does not come back. A run that has open jobs, or is under a hold, is refused. Another call
    removes what the first one left.
    """
    body, named = call.body, call.ids["id"]
    found = await call.database.read(run_lines.find, named, ("id", "upstream_id"))
    run_id = run_ids.require_exact_run(found, named).id
    erasure = erasing.Erasure(body.reason, call.caller.actor, fields=body.chosen)
    if body.dry_run:
        return operations.Answer(200, await plan(call.database, run_id, erasure))
    return operations.Answer(200, await erase(call.database, run_id, erasure, call.now))


async def plan(store: database.Database, run_id: str, erasure: erasing.Erasure) -> retention.Erasure:
    """Return what an erasure would remove of a run, and what forbids it."""
    chosen = erasing.only([run_id])
    found = await store.read(erasing.survey, chosen, erasure.fields)
    refused = await store.read(erasing.refusals, chosen)
    done = erasing.Erased(found.runs, found.rows, erasure.fields)
    return _answer(done, None, refused, is_planned=True)


async def erase(
    store: database.Database, run_id: str, erasure: erasing.Erasure, now: datetime
) -> retention.Erasure:
    """Erase content of a run, and overwrite its bytes in an embedded database. Raises NotErasable."""
    done = await store.write(erasing.erase_run, run_id, erasure, now)
    # Also where nothing was left: an earlier call may have been killed before it came to this.
    freed = await asyncio.to_thread(vacuum.shrink, store.url, rewrite=False, words=True)
    return _answer(done, None if freed is None else freed.is_overwritten)


def _answer(
    done: erasing.Erased,
    is_overwritten: bool | None,
    refused: Sequence[erasing.Refusal] = (),
    *,
    is_planned: bool = False,
) -> retention.Erasure:
    return retention.Erasure(
        dry_run=is_planned,
        runs=done.runs,
        fields=sorted(done.fields),
        rows=retention.ErasedRows(**done.rows),
        refused=[retention.Refusal.model_validate(each) for each in refused],
        is_overwritten=is_overwritten,
        outside=retention.OUTSIDE,
    )
