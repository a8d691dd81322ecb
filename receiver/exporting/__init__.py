"""Runs as files: JSON Lines that can be read back, CSV and Parquet for other people's tools.

`Export` goes through the store a chunk at a time; a `Form` makes bytes of records; `reading` is the way back.
"""

from receiver.exporting.columns import Columns
from receiver.exporting.flow import Export, Places
from receiver.exporting.forms import FIELDS, End, Form, Format
from receiver.exporting.lines import Lines
from receiver.exporting.sheets import Sheet

__all__ = ["FIELDS", "Columns", "End", "Export", "Form", "Format", "Lines", "Places", "Sheet", "form"]


def form(wanted: Format, *, follows: bool = False, has_trailer: bool = True, has_bom: bool = False) -> Form:
    """A fresh one. With `follows` it goes on from an earlier export, so it has no head; `has_bom` is of CSV.

    Raises NotInstalled where Parquet is wanted and pyarrow is not there.
    """
    match wanted:
        case Format.JSONL:
            return Lines(has_trailer)
        case Format.CSV:
            return Sheet(follows, has_trailer, has_bom)
        case Format.PARQUET:
            return Columns()
