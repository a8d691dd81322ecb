"""What we answer of jobs that fail or were given up, by cause."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from receiver.shapes.answers import Answer, Instant
from storage import causes, states


class Cause(Answer):
    """Failing or dead jobs that one cause stands in the way of; ids and numbers in it are `…`."""

    kind: states.Kind | str
    state: causes.State
    cause: str
    count: int
    oldest_at: Instant = Field(description="When the oldest of the jobs was wished.")
    due_at: Instant | None = Field(description="When the first of them comes due; null for dead ones.")

    @classmethod
    def of(cls, cause: causes.Cause) -> Self:
        """A group of jobs."""
        made = cls.model_validate(cause)
        return made if made.state is causes.State.FAILING else made.model_copy(update={"due_at": None})


class Causes(Answer):
    """Why jobs fail, the cause of most jobs first."""

    causes: list[Cause]


class Retried(Causes):
    """How many jobs are due now, or would be, and what stood in their way."""

    count: int
    dry_run: bool
