"""Parquet, a row for each run. Needs pyarrow, which `pip install 'runledger[parquet]'` installs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from receiver import errors
from receiver.export import formats, run_columns
from storage.query import run_chunks

#: The rows of a row group, and the approximate bytes after which it is written earlier.
ROWS, BYTES = 5000, 8 << 20


class ParquetWriter(formats.Writer[run_chunks.Record]):
    """The writer of Parquet.

    The end of the file lists its parts, so a truncated file cannot be read at all, and no trailer is needed.
    """

    media_type = "application/vnd.apache.parquet"

    def __init__(self) -> None:
        self._arrow, parquet = _arrow()
        self._schema = self._arrow.schema([(name, self._type(name)) for name in run_columns.FIELDS])
        self._sink = _Sink()
        self._writer: Any = parquet.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._waiting: list[list[object]] = []
        self._weight = 0

    def _type(self, name: str) -> Any:
        if name in run_columns.INSTANTS:
            return self._arrow.timestamp("us", tz="UTC")
        return self._arrow.int64() if name in run_columns.NUMBERS else self._arrow.string()

    def head(self) -> bytes:
        return self._sink.taken()

    def rows(self, records: Sequence[run_chunks.Record]) -> bytes:
        """Add a row for each record. A row group is written once it has enough rows."""
        # All are made before any is added.
        self._waiting += [list(run_columns.cells(record.run)) for record in records]
        self._weight += sum(record.weight for record in records)
        if len(self._waiting) >= ROWS or self._weight >= BYTES:
            self._write()
        return self._sink.taken()

    def foot(self) -> bytes:
        self._write()
        self._writer.close()
        return self._sink.taken()

    def _write(self) -> None:
        columns = zip(*self._waiting, strict=True) if self._waiting else [[] for _ in run_columns.FIELDS]
        by_name = dict(zip(run_columns.FIELDS, map(list, columns), strict=True))
        self._writer.write_table(self._arrow.Table.from_pydict(by_name, schema=self._schema))
        self._waiting, self._weight = [], 0


class _Sink(io.RawIOBase):
    """A file that keeps what is written until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def tell(self) -> int:
        return self._written

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # an optional package
        from pyarrow import parquet  # of the same package
    except ImportError:
        raise errors.PackageMissing("Parquet", "pip install 'runledger[parquet]'") from None
    return pyarrow, parquet
