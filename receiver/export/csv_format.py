"""CSV (RFC 4180), a record for each run, with a header. Pure."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Sequence

from receiver.export import formats, run_columns
from storage.query import run_chunks

#: Spreadsheets take a text with such a beginning for a formula; a leading apostrophe makes it a text.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
#: The first cell of the last record; it is no valid id of a run.
MARK = "#trailer"


class CsvWriter(formats.Writer[run_chunks.Record]):
    """The writer of CSV, for spreadsheets and loaders."""

    media_type = "text/csv; charset=utf-8"

    def __init__(self, follows: bool = False, has_trailer: bool = True, has_bom: bool = False) -> None:
        self._follows = follows
        self._has_trailer = has_trailer
        self._bom = codecs.BOM_UTF8 if has_bom else b""

    def head(self) -> bytes:
        """Return the header, unless the file continues an earlier one.

        Where it is requested, the byte-order mark comes first, by which Excel recognises UTF-8.
        """
        return b"" if self._follows else self._bom + _written([list(run_columns.FIELDS)])

    def rows(self, records: Sequence[run_chunks.Record]) -> bytes:
        return _written([cell(each) for each in run_columns.cells(record.run)] for record in records)

    def trailer(self, end: formats.Summary) -> bytes:
        """Return a last record with as many cells as the others: the number of runs and the SHA-256."""
        cells = [MARK, f"records={end.records}", f"sha256={end.sha256}"]
        cells += [] if end.unindexed is None else [f"unindexed={end.unindexed}"]
        cells += [f"unwritten={' '.join(end.unwritten_runs)}"] if end.unwritten else []
        return _written([cells + [""] * (len(run_columns.FIELDS) - len(cells))]) if self._has_trailer else b""


def cell(value: object) -> str:
    """Return a value as a cell: empty for None, and never a formula."""
    if value is None:
        return ""
    text = str(formats.json_value(value))
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULAS) else text


def _written(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
