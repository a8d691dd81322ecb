"""Handle rows that cannot be read: leave one out of a list, and name one that is requested alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import structlog
from pydantic import ValidationError

from receiver import errors
from receiver.schemas.responses import Answer
from storage.query import run_chunks

RowT = TypeVar("RowT")
AnswerT = TypeVar("AnswerT", bound=Answer)
#: Faults of a row that the log names.
FAULTS = 10


def readable(
    rows: Iterable[RowT],
    of: Callable[[RowT], AnswerT],
    name: Callable[[RowT], object] = lambda row: row.id,  # type: ignore[attr-defined]
) -> tuple[list[AnswerT], list[str]]:
    """Return the rows as answers, and the names of the rows that cannot be converted."""
    answers: list[AnswerT] = []
    unread: list[str] = []
    for row in rows:
        try:
            answers.append(of(row))
        except run_chunks.UNREADABLE_ERRORS:
            unread.append(str(name(row)))
            structlog.get_logger("runledger").warning("row_skipped", row=unread[-1])
    return answers, unread


@contextlib.contextmanager
def named(row: str, log: structlog.typing.FilteringBoundLogger) -> Iterator[None]:
    """Log why no answer can be built from a row within the block, and name the row. Raises UnreadableRow."""
    try:
        yield
    except ValidationError as error:  # its own message shows the values
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        messages = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in faults[:FAULTS]]
        log.error("row_not_readable", row=row, faults=messages)
        raise errors.UnreadableRow(row) from None
    except run_chunks.UNREADABLE_ERRORS as error:
        log.error("row_not_readable", row=row, exc_info=error)
        raise errors.UnreadableRow(row) from None
