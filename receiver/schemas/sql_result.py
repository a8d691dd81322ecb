"""The answer to a caller's own SQL statement."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from receiver.schemas.responses import Answer
from storage.user_sql import statements


class SqlResult(Answer):
    """Rows as the database returned them. JSON is given as text, bytes as `\\x` and hexadecimal digits."""

    columns: list[str] = Field(description="The names of the columns, which need not be unique.")
    rows: list[list[str | int | float | bool | None]]
    truncated: bool = Field(description="Whether there were more rows than `limit`, or than fit into an answer.")

    @classmethod
    def of(cls, answer: statements.Answer) -> Self:
        """Return the result of a statement as an answer."""
        return cls(columns=answer.columns, rows=answer.rows, truncated=answer.is_truncated)
