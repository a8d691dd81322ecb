"""The interface of all export formats. Pure."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

from receiver import json_lines
from storage.engine import column_types

#: The most runs that a trailer names, so that it stays short; and the fields about missing runs.
NAMED = 50
_MISSING = ("unwritten", "unwritten_runs")


class Format(StrEnum):
    """The export formats."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of a whole export: the number of runs, and the SHA-256 of all bytes before the trailer.

    `after` is the run after which it began. `unindexed` is the number of runs whose words could not be searched
    yet. `unwritten` is the number of runs that are missing since their stored values cannot be read; the first of
    them are listed in `unwritten_runs`.
    """

    records: int
    sha256: str
    after: str | None = None
    unindexed: int | None = None
    unwritten: int = 0
    unwritten_runs: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return the trailer as JSON values; missing runs are mentioned only where there are some."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if self.unwritten or name not in _MISSING}


#: `run_chunks.Record` or `run_chunks.RunRows`.
RecordT = TypeVar("RecordT")


class Writer(ABC, Generic[RecordT]):
    """The writer of one format: `head`, then `rows` for each chunk, `foot`, `trailer`.

    With `reads_rows` it takes runs as rows.
    """

    media_type: str
    reads_rows: ClassVar[bool] = False

    @abstractmethod
    def rows(self, records: Sequence[RecordT]) -> bytes:
        """Return the bytes of records."""

    def head(self) -> bytes:
        """Return nothing, unless the format has a beginning."""
        return b""

    def foot(self) -> bytes:
        """Return nothing, unless the format has an end."""
        return b""

    def trailer(self, _end: Summary) -> bytes:
        """Return nothing, unless the format has a trailer, which is not hashed."""
        return b""


def json_value(value: Any) -> Any:
    """Return an instant as text, and any other value unchanged."""
    return column_types.instant_text(value) if isinstance(value, datetime) else value


def compact(value: object) -> str:
    """Return JSON in one line for any line reader, with sorted object keys."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return json_lines.one_line(text)
