"""Parquet, a run a row. Needs pyarrow, which `pip install 'runledger[parquet]'` brings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from receiver import errors
from receiver.exporting import forms
from storage import export

#: Rows of a group, and bytes, roughly, after which it is closed earlier.
ROWS, BYTES = 5000, 8 << 20


class Columns:
    """A file whose end names its parts: one that was cut off cannot be read at all, so it needs no trailer."""

    media_type = "application/vnd.apache.parquet"

    def __init__(self) -> None:
        self._arrow, parquet = _arrow()
        self._schema = self._arrow.schema([(name, self._type(name)) for name in forms.FIELDS])
        self._sink = _Sink()
        self._writer: Any = parquet.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._waiting: list[list[Any]] = []
        self._weight = 0

    def _type(self, name: str) -> Any:
        if name in forms.INSTANTS:
            return self._arrow.timestamp("us", tz="UTC")
        return self._arrow.int64() if name in forms.NUMBERS else self._arrow.string()

    def head(self) -> bytes:
        """The mark with which such files begin."""
        return self._sink.taken()

    def rows(self, records: Sequence[export.Record]) -> bytes:
        """A row each, written once there are enough for a group."""
        self._waiting += [list(forms.flat(record.run)) for record in records]  # all of them or none
        self._weight += sum(record.weight for record in records)
        if len(self._waiting) >= ROWS or self._weight >= BYTES:
            self._write()
        return self._sink.taken()

    def foot(self) -> bytes:
        """What waits, and where all parts lie."""
        self._write()
        self._writer.close()
        return self._sink.taken()

    def trailer(self, _end: forms.End) -> bytes:
        """Nothing."""
        return b""

    def _write(self) -> None:
        held = zip(*self._waiting, strict=True) if self._waiting else [[] for _ in forms.FIELDS]
        named = dict(zip(forms.FIELDS, map(list, held), strict=True))
        self._writer.write_table(self._arrow.Table.from_pydict(named, schema=self._schema))
        self._waiting, self._weight = [], 0


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken."""

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
        """What was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise errors.NotInstalled("Parquet", "pip install 'runledger[parquet]'") from None
    return pyarrow, parquet
