"""Rows that cannot be read: one of many does not cost the others, one that is asked for alone is named."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import structlog
from pydantic import ValidationError

from receiver import errors
from receiver.shapes.answers import Answer
from storage import export

RowT = TypeVar("RowT")
MadeT = TypeVar("MadeT", bound=Answer)
#: Faults of a row that the log names.
FAULTS = 10


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


@contextlib.contextmanager
def named(row: str) -> Iterator[None]:
    """Log why a row that is asked for alone cannot be read, and name it. Raises UnreadableRow."""
    try:
        yield
    except ValidationError as error:  # its own message shows the values
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        told = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in faults[:FAULTS]]
        structlog.get_logger("runledger").warning("row_not_readable", row=row, faults=told)
        raise errors.UnreadableRow(row) from None
    except export.UNREADABLE as error:
        structlog.get_logger("runledger").warning("row_not_readable", row=row, exc_info=error)
        raise errors.UnreadableRow(row) from None
