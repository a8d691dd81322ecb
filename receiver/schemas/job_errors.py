"""The answers about failing and dead jobs, grouped by the cause of their failure."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from receiver.schemas.responses import Answer, Instant
from storage import states
from storage.repositories import job_errors


class Cause(Answer):
    """Failing or dead jobs with one cause; ids and numbers in its text are replaced by `…`."""

    kind: states.Kind | str
    state: states.FailedJobState
    cause: str
    count: int
    oldest_at: Instant = Field(description="When the oldest of the jobs was enqueued.")
    due_at: Instant | None = Field(description="When the first of the jobs is due; null for dead jobs.")

    @classmethod
    def of(cls, cause: job_errors.Cause) -> Self:
        """Return a group of jobs as an answer."""
        answer = cls.model_validate(cause)
        is_dead = answer.state is states.FailedJobState.DEAD
        return answer.model_copy(update={"due_at": None}) if is_dead else answer


class Causes(Answer):
    """The causes of failing and dead jobs, the cause of most jobs first."""

    causes: list[Cause]


class Retried(Causes):
    """The number of jobs that are due now, or would be, and the causes of their failures."""

    count: int
    dry_run: bool
