"""The operation that exports runs as a file: JSON Lines, CSV, Parquet."""

from __future__ import annotations

import asyncio
from datetime import datetime

from receiver import errors
from receiver.export import flow, formats
from receiver.schemas import query_parameters
from receiver.web import operations
from receiver.web.authentication import Scope
from storage.engine import database
from storage.query import run_chunks

Exporting = operations.Call[query_parameters.ExportQuery, None]

router = operations.Router("runs")


@router.operation(
    "GET",
    "/v1/export",
    "Export runs as a file, oldest first",
    {200: "application/jsonl"},
    Scope.READ,
    problems=(404, 501),
)
async def export_runs(call: Exporting) -> operations.Answer:
    """Answer with all matching runs, streamed. Invalid parameters are reported before the first byte."""
    prepared = prepare(call.database, call.query, call.now, call.context.stopping)
    started = await flow.begin(prepared, call.context.export_slots)
    name = f"runs-{call.now:%Y%m%dT%H%M%SZ}.{call.query.format}"
    headers = {"content-disposition": f'attachment; filename="{name}"', "x-content-type-options": "nosniff"}
    return operations.Answer(200, None, headers, prepared.writer.media_type, pieces=started)


def prepare(
    store: database.Database,
    query: query_parameters.ExportQuery,
    now: datetime,
    stopping: asyncio.Event | None = None,
) -> flow.Export:
    """Return the export that `query` describes. Raises BadParameter, BadFilter, BadQuery, PackageMissing."""
    requested = formats.Format(query.format)
    if query.documents and requested is not formats.Format.JSONL:
        raise errors.BadParameter("documents", "needs JSON Lines: format=jsonl")
    if query.after is not None and requested is formats.Format.PARQUET:
        raise errors.BadParameter("after", "a Parquet file cannot be resumed: export it again")
    if query.bom and requested is not formats.Format.CSV:
        raise errors.BadParameter("bom", "needs CSV: format=csv")
    form = flow.new_writer(
        requested, follows=query.after is not None, has_trailer=query.trailer, has_bom=query.bom
    )
    parts = run_chunks.Parts(trace=requested is formats.Format.JSONL, documents=query.documents)
    return flow.Export(store.timed_read, query.expression(now), form, parts, query.after, stopping)
