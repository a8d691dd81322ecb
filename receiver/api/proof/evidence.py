"""Evidence about one run: the ZIP that others check without this server."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Collection
from pathlib import Path

from receiver import errors
from receiver.evidence import archive, signed
from receiver.export import flow
from receiver.schemas import json_rows, query_parameters
from receiver.verifier.evidence import check
from receiver.web import operations, run_ids
from receiver.web.authentication import Scope
from storage.query import run_lines

Making = operations.Call[query_parameters.EvidenceQuery, None]
#: The most bytes of the files in a ZIP that is made for a request: it lies in the temporary folder of the server.
MOST_BYTES = 64 << 20
TYPE = "application/zip"
_PIECE = 1 << 18

router = operations.Router("ledger")


@router.operation(
    "GET",
    "/v1/runs/{id}/evidence",
    "Evidence about a run, as a ZIP",
    {200: TYPE},
    Scope.READ,
    problems=(404, 409),
)
async def get_evidence(call: Making) -> operations.Answer:
    """Answer with the ZIP that proves what happened to a run, which others check without this server.

    It is made and checked before the first byte. It has up to 64 MiB of files; the command `runledger evidence`
    makes larger ones, and of many runs.
    """
    named = call.ids["id"]
    found = await call.database.read(run_lines.find, named, ("id", "upstream_id"))
    run_id = run_ids.require_exact_run(found, named).id
    made = await start(call.context, run_id, call.query.only)
    headers = {
        "content-disposition": f'attachment; filename="{name(run_id)}"',
        "x-content-type-options": "nosniff",
    }
    return operations.Answer(200, None, headers, TYPE, pieces=made)


def name(run_id: str) -> str:
    """Return the name of the file."""
    return f"evidence-{run_id}.zip"


async def start(context: operations.Context, run_id: str, only: Collection[str] | None) -> flow.Started:
    """Make evidence about a run in one of the slots of exports, and return the bytes of the ZIP.

    Raises EvidenceNotMade, UnreadableRow, and TooManyStreams where no slot is free.
    """
    pieces = _pieces(context, run_id, only)
    return flow.Started(await anext(pieces), pieces)


async def _pieces(
    context: operations.Context, run_id: str, only: Collection[str] | None
) -> AsyncGenerator[bytes, None]:
    with context.export_slots.slot(), tempfile.TemporaryDirectory(prefix="runledger-") as folder:
        path = Path(folder, "evidence.zip")
        await _make(context, path, run_id, only)
        with await asyncio.to_thread(path.open, "rb") as file:
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield piece


async def _make(context: operations.Context, path: Path, run_id: str, only: Collection[str] | None) -> None:
    """Write the ZIP and check it. Raises EvidenceNotMade, UnreadableRow."""
    policy = context.ledger.policy
    newest = await signed.checkpoint(context.database, [run_id], policy)
    with json_rows.named(run_id, context.telemetry.log):
        await archive.write(context.database, path, [run_id], newest, policy, only, most_bytes=MOST_BYTES)
    report = await asyncio.to_thread(check.check, path)
    if not report.is_ok:
        raise errors.EvidenceNotMade(
            f"what is stored is not what the ledger recorded: {report.failures[0]}. "
            "The command `runledger evidence` names all such places, and writes the file all the same"
        )
