"""CSV after RFC 4180, a run a record, with a head. Pure."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from receiver.exporting import forms
from storage import export

#: A text that begins so is a formula to a spreadsheet; it gets an apostrophe in front, which makes it a text.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
#: The first cell of the last record; no id of a run looks so.
MARK = "#trailer"


class Sheet:
    """For spreadsheets and loaders."""

    media_type = "text/csv; charset=utf-8"

    def __init__(self, follows: bool = False, has_trailer: bool = True, has_bom: bool = False) -> None:
        self._follows = follows
        self._has_trailer = has_trailer
        self._bom = codecs.BOM_UTF8 if has_bom else b""

    def head(self) -> bytes:
        """The names of the columns, unless it goes on from another one.

        In front of them stands the mark by which Excel knows UTF-8, where it is wanted.
        """
        return b"" if self._follows else self._bom + _written([list(forms.FIELDS)])

    def rows(self, records: Sequence[export.Record]) -> bytes:
        """A record each."""
        return _written([cell(each) for each in forms.flat(record.run)] for record in records)

    def foot(self) -> bytes:
        """Nothing."""
        return b""

    def trailer(self, end: forms.End) -> bytes:
        """A last record of as many cells: how many came, and their digest."""
        told = [MARK, f"records={end.records}", f"sha256={end.sha256}"]
        told += [] if end.unindexed is None else [f"unindexed={end.unindexed}"]
        told += [f"unwritten={' '.join(end.unwritten_runs)}"] if end.unwritten else []
        return _written([told + [""] * (len(forms.FIELDS) - len(told))]) if self._has_trailer else b""


def cell(value: Any) -> str:
    """A value as a cell: empty where there is none, and never a formula."""
    if value is None:
        return ""
    text = str(forms.plain(value))
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULAS) else text


def _written(rows: Iterable[Iterable[str]]) -> bytes:
    made = io.StringIO()
    csv.writer(made).writerows(rows)
    return made.getvalue().encode()
