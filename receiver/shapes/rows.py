"""What a statement of anybody's is answered."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from receiver.shapes.answers import Answer
from storage import sql


class Rows(Answer):
    """Rows as the database gave them. JSON comes as a text, bytes as `\\x` and hexadecimal digits."""

    columns: list[str] = Field(description="Several may have one name.")
    rows: list[list[str | int | float | bool | None]]
    truncated: bool = Field(description="There were more rows than were wanted, or than fit into an answer.")

    @classmethod
    def of(cls, answer: sql.Answer) -> Self:
        """The answer to a statement."""
        return cls(columns=answer.columns, rows=answer.rows, truncated=answer.is_truncated)
