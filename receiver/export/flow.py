"""The course of an export: chunks are read from the database, converted to bytes, and hashed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import structlog

from receiver import errors
from receiver.export import csv_format, formats, jsonl, parquet
from storage import errors as storage_errors
from storage.query import grammar, run_chunks
from storage.search import index

#: The number of keys of a query: at first, at least, at most; the factor after a query that found few runs.
WINDOW, NARROWEST, WIDEST, GROWTH = 4096, 16, 1 << 18, 4
#: Seconds before a query is repeated when the database is busy, and how often that may happen in a row.
PAUSE, TRIES = 0.5, 30
#: Exports that run at once: each occupies a database reader for as long as a client reads it.
AT_ONCE = 3


def new_writer(
    format_: formats.Format, *, follows: bool = False, has_trailer: bool = True, has_bom: bool = False
) -> formats.Writer[Any]:
    """Return a new writer of the format.

    With `follows` the file continues an earlier export, so it has no header. `has_bom` applies to CSV only. Raises
    PackageMissing for Parquet where pyarrow is not installed.
    """
    match format_:
        case formats.Format.JSONL:
            return jsonl.JsonLinesWriter(has_trailer)
        case formats.Format.CSV:
            return csv_format.CsvWriter(follows, has_trailer, has_bom)
        case formats.Format.PARQUET:
            return parquet.ParquetWriter()


class Digest(Protocol):
    """A hash of `hashlib`."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class ExportSlots:
    """The slots of exports that run at once."""

    def __init__(self, limit: int = AT_ONCE) -> None:
        self._most = limit
        self._taken = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Occupy a slot for the length of the block. Raises TooManyStreams."""
        if self._taken >= self._most:
            raise errors.TooManyStreams(f"{self._taken} exports are running, which is the limit; try again later")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class Export:
    """The matching runs that exist when the export begins, after the run `after`. Iterate `pieces` once.

    `ask` is `Database.ask`. Between pieces, `share` is the progress; after the last one, `summary` is set.
    """

    def __init__(
        self,
        ask: Callable[..., Awaitable[Any]],
        expression: grammar.Expression,
        writer: formats.Writer[Any],
        parts: run_chunks.Parts | None = None,
        after: str | None = None,
        stopping: asyncio.Event | None = None,
    ) -> None:
        self._ask, self._expression, self.writer = ask, expression, writer
        self._parts = replace(parts or run_chunks.Parts(), as_rows=writer.reads_rows)
        self._after = after
        self._stopping = stopping
        self._window = WINDOW
        self._range: run_chunks.ExportRange | None = None
        self._place = 0
        self._digest: Digest = hashlib.sha256()
        self._records = 0
        self._unwritten: list[str] = []
        self._is_whole = after is None
        self.summary: formats.Summary | None = None

    def resume(self, digest: Digest, records: int) -> None:
        """Count the digest and the records of an earlier part, up to `after`: the trailer then covers both."""
        self._digest, self._records, self._is_whole = digest, records, True

    @property
    def share(self) -> float:
        """Return the progress through the keys, from 0 to 1."""
        if self._range is None:
            return 0.0
        keys = self._range.until - self._range.position
        return (self._place - self._range.position) / keys if keys else 1.0

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes, in order.

        Raises NotFound before the first piece; StatementTimeout, Unavailable, StreamInterrupted.
        """
        span: run_chunks.ExportRange | None = await self._ask(run_chunks.begin, self._expression, self._after)
        if span is None:
            raise errors.NotFound(
                "there is no run with the id in `after`; use the id of the file's last whole line"
            )
        self._range, self._place = span, span.position
        yield self._hashed(self.writer.head())
        while self._place < span.until:
            chunk = await self._chunk(span)
            yield await asyncio.to_thread(self._rows, chunk)
            self._place = chunk.position
        yield self._hashed(await asyncio.to_thread(self.writer.foot))
        after = None if self._is_whole else self._after
        missing = (len(self._unwritten), tuple(self._unwritten[: formats.NAMED]))
        self.summary = formats.Summary(self._records, self._digest.hexdigest(), after, span.unindexed, *missing)
        yield self.writer.trailer(self.summary)

    def _rows(self, chunk: run_chunks.Chunk) -> bytes:
        self._unwritten += chunk.unreadable
        return self._hashed(self._written(chunk.records))

    def _written(self, records: Sequence[Any]) -> bytes:
        """Return records as bytes. A record that cannot be converted is noted, and the others are written."""
        try:
            piece = self.writer.rows(records)
        except run_chunks.UNREADABLE_ERRORS:
            if len(records) > 1:
                return b"".join(self._written([each]) for each in records)
            self._unwritten.append(records[0].id)
            return b""
        self._records += len(records)
        return piece

    def _hashed(self, piece: bytes) -> bytes:
        self._digest.update(piece)
        return piece

    async def _chunk(self, span: run_chunks.ExportRange) -> run_chunks.Chunk:
        """Return the next chunk. A query that takes too long is repeated for fewer keys, before it fails."""
        tries = TRIES
        while True:
            if self._stopping is not None and self._stopping.is_set():
                raise errors.StreamInterrupted(
                    "the server stops; resume the export after the last run that was received"
                )
            low = self._place + 1
            window = index.Window(low, min(low + self._window, span.until + 1))
            try:
                chunk: run_chunks.Chunk = await self._ask(
                    run_chunks.read_chunk, self._expression, window, self._parts
                )
            except storage_errors.Busy:  # an export that has begun waits rather than fails
                tries -= 1
                if not tries:
                    raise
                await asyncio.sleep(PAUSE)
                continue
            except storage_errors.StatementTimeout:
                if self._window <= NARROWEST:
                    raise
                self._window = max(NARROWEST, self._window // (2 * GROWTH))
                continue
            if chunk.position == window.high - 1:
                self._window = min(WIDEST, self._window * GROWTH)
            return chunk


async def begin(export: Export, slots: ExportSlots) -> Started:
    """Return the pieces of an export, which occupies a slot from now on.

    Its first piece is read, so that the status of the answer says what is wrong. Raises TooManyStreams, and as
    `Export.pieces` does.
    """
    pieces = _in_a_slot(export, slots)
    return Started(await anext(pieces), pieces)


async def _in_a_slot(export: Export, slots: ExportSlots) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of an export while it occupies one of the export slots."""
    with slots.slot():
        async for piece in export.pieces():
            yield piece
    if export.summary is not None and export.summary.unwritten:
        log = structlog.get_logger("runledger")
        log.warning(
            "export_truncated", unwritten=export.summary.unwritten, runs=list(export.summary.unwritten_runs)
        )


class Started:
    """The pieces of an export whose first piece was read already.

    This is no generator: closing a generator that was never started would not close `rest`.
    """

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        self._first: bytes | None = first
        self._rest = rest

    def __aiter__(self) -> Started:
        return self

    async def __anext__(self) -> bytes:
        first, self._first = self._first, None
        return await anext(self._rest) if first is None else first

    async def aclose(self) -> None:
        await self._rest.aclose()
