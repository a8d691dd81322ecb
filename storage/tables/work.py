"""What is to be done, and what all workers share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, Text, UniqueConstraint
from sqlmodel import Field

from storage import states
from storage.columns import Integer64
from storage.tables import declare


class Job(declare.Base, table=True):
    """A wish that is carried out until it is done. One row per kind and run; a repeated wish raises `wanted`."""

    __tablename__ = "jobs"
    __table_args__ = (
        declare.one_of("kind", states.Kind),
        declare.one_of("road", states.Road),
        UniqueConstraint("id"),
        UniqueConstraint("kind", "run_id"),
        declare.where("ix_jobs_priority_due_at", ("priority", "due_at"), "dead_at IS NULL"),
        Index("ix_jobs_due_at", "due_at"),
        declare.where("ix_jobs_dead_at", "dead_at", "dead_at IS NOT NULL"),
    )
    seq: int | None = declare.seq()
    id: str = declare.text(null=False)
    kind: str = declare.text(null=False)
    run_id: str = Field(default="", sa_type=Text, nullable=False)
    priority: int = declare.integer(null=False)
    created_at: datetime = declare.at(null=False)
    due_at: datetime = declare.at(null=False)
    wanted: int = declare.integer(null=False, default=1)
    #: The road of the first wish since the upstream last showed the run alive.
    road: str | None = declare.text()
    #: The road of the first wish that came while the job was leased.
    late_road: str | None = declare.text()
    lease_owner: str | None = declare.text()
    lease_until: datetime | None = declare.at()
    #: Grows with every claim; who holds an older one writes nothing.
    fence: int = declare.integer(null=False, default=0)
    #: Claims since a callback or a caller last asked for it; failures in a row.
    attempts: int = declare.integer(null=False, default=0)
    failures: int = declare.integer(null=False, default=0)
    #: How often in a row, and since when, the upstream said no to what this job asks.
    refusals: int = declare.integer(null=False, default=0)
    refused_since: datetime | None = declare.at()
    last_error: str | None = declare.text()
    last_error_at: datetime | None = declare.at()
    dead_at: datetime | None = declare.at()


class House(declare.Base, table=True):
    """The one row that all workers share: the pause, the rate limit, who was last seen."""

    __tablename__ = "house"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)
    id: int | None = Field(default=None, sa_type=Integer64, primary_key=True)
    paused_until: datetime | None = declare.at()
    pause_reason: str | None = declare.text()
    #: How often in a row the pause was renewed; 0 = the upstream answers.
    pause_streak: int = declare.integer(null=False, default=0)
    rate_limit: Any = declare.json()
    upstream_ok_at: datetime | None = declare.at()
    worker_seen_at: datetime | None = declare.at()
    swept_at: datetime | None = declare.at()
    #: A sweep that was cut: behind which run it goes on, when it began, how far back it came, and whether all that
    #: it saw until then could be dealt with; null where none was cut.
    sweep_cursor: str | None = declare.text()
    sweep_began_at: datetime | None = declare.at()
    sweep_reached_at: datetime | None = declare.at()
    sweep_met: bool = declare.flag()
    #: What follows the end of a run: true while any server of the deployment has the setting for it.
    notifies: bool = declare.flag()
    captures: bool = declare.flag()
    #: When a server that has the setting was last seen; and a worker that can send notifications.
    notifies_set_at: datetime | None = declare.at()
    captures_set_at: datetime | None = declare.at()
    notifier_seen_at: datetime | None = declare.at()
    #: The lease of the one command that may change our webhook endpoint upstream. The fence grows with each one.
    webhooks_fence: int = declare.integer(null=False, default=0)
    webhooks_until: datetime | None = declare.at()
    #: When the store was last marked as restored from a copy of itself.
    restored_at: datetime | None = declare.at()
    #: When this was made as a copy of a store; null once it is marked as restored.
    copied_at: datetime | None = declare.at()
    #: The database that took over from this one, which is not to be worked on any more.
    moved_to: str | None = declare.text()


class Backfill(declare.Base, table=True):
    """A walk through the upstream's list. `cursor` is where it goes on; null at its beginning."""

    __tablename__ = "backfills"
    #: Of what was asked for, so that the same question goes on where it was left.
    id: str = Field(sa_type=Text, primary_key=True)
    agent_id: str | None = declare.text()
    status: str | None = declare.text()
    since: datetime | None = declare.at()
    cursor: str | None = declare.text()
    seen: int = declare.integer(null=False, default=0)
    taken: int = declare.integer(null=False, default=0)
    started_at: datetime = declare.at(null=False)
    finished_at: datetime | None = declare.at()


class UnknownRun(declare.Base, table=True):
    """A run upstream that is not ours and was queued when it was last seen: once it runs it may become ours."""

    __tablename__ = "unknown_runs"
    __table_args__ = (Index("ix_unknown_runs_ask_at", "ask_at"),)
    upstream_id: str = Field(sa_type=Text, primary_key=True)
    listed_at: datetime = declare.at(null=False)
    #: When the upstream is asked about it next.
    ask_at: datetime = declare.at(null=False)
    missing_since: datetime | None = declare.at()
