"""Rows of which one that cannot be read does not cost the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog

from receiver.shapes.answers import Answer
from storage import export

RowT = TypeVar("RowT")
MadeT = TypeVar("MadeT", bound=Answer)


def readable(
    rows: Iterable[RowT],
    of: Callable[[RowT], MadeT],
    name: Callable[[RowT], object] = lambda row: row.id,  # type: ignore[attr-defined]
) -> tuple[list[MadeT], list[str]]:
    """Return the rows as they are answered, and the names of those that make no answer."""
    made: list[MadeT] = []
    unread: list[str] = []
    for row in rows:
        try:
            made.append(of(row))
        except export.UNREADABLE:
            unread.append(str(name(row)))
            structlog.get_logger("runledger").warning("row_left_out", row=unread[-1])
    return made, unread
