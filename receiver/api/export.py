"""Runs as a file: JSON Lines, CSV, Parquet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime

import structlog

from receiver import access, endpoint, errors, exporting, shapes
from storage import database, export

Exporting = endpoint.Call[shapes.ExportQuery, None]


async def export_runs(call: Exporting) -> endpoint.Answer:
    """All that are wanted, streamed. What is wrong with the question is told before the first byte."""
    wish = made(call.database, call.query, call.now, call.context.stopping)
    pieces = _placed(wish, call.context.exports)
    begun = _Begun(await anext(pieces), pieces)
    name = f"runs-{call.now:%Y%m%dT%H%M%SZ}.{call.query.format}"
    headers = {
        "content-disposition": f'attachment; filename="{name}"',
        "x-content-type-options": "nosniff",
    }
    return endpoint.Answer(200, None, headers, wish.form.media_type, pieces=begun)


def made(
    store: database.Database, query: shapes.ExportQuery, now: datetime, stopping: asyncio.Event | None = None
) -> exporting.Export:
    """The export that is asked for. Raises BadParameter, BadFilter, BadQuestion, NotInstalled."""
    wanted = exporting.Format(query.format)
    if query.documents and wanted is not exporting.Format.JSONL:
        raise errors.BadParameter("documents", "come in JSON Lines alone: format=jsonl")
    if query.after is not None and wanted is exporting.Format.PARQUET:
        raise errors.BadParameter("after", "a Parquet file cannot be gone on with: fetch it anew")
    if query.bom and wanted is not exporting.Format.CSV:
        raise errors.BadParameter("bom", "stands in front of CSV alone: format=csv")
    form = exporting.form(wanted, follows=query.after is not None, has_trailer=query.trailer, has_bom=query.bom)
    parts = export.Parts(trace=wanted is exporting.Format.JSONL, documents=query.documents)
    return exporting.Export(store.ask, query.wanted(now), form, parts, query.after, stopping)


async def _placed(wish: exporting.Export, places: exporting.Places) -> AsyncGenerator[bytes, None]:
    with places.place():
        async for piece in wish.pieces():
            yield piece
    if wish.end is not None and wish.end.unwritten:
        log = structlog.get_logger("runledger")
        log.warning("export_incomplete", unwritten=wish.end.unwritten, runs=list(wish.end.unwritten_runs))


class _Begun:
    """Pieces of which the first one is there already. No generator: one that was never begun closes nothing."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        self._first: bytes | None = first
        self._rest = rest

    def __aiter__(self) -> _Begun:
        return self

    async def __anext__(self) -> bytes:
        first, self._first = self._first, None
        return await anext(self._rest) if first is None else first

    async def aclose(self) -> None:
        await self._rest.aclose()


OPERATIONS = (
    endpoint.Operation(
        "GET",
        "/v1/export",
        "Runs as a file, oldest first",
        export_runs,
        {200: "application/jsonl"},
        access.Scope.READ,
        query=shapes.ExportQuery,
        problems=(404, 501),
    ),
)
