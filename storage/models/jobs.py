"""Jobs, the state that all processes share, backfills, bulk actions, and unknown upstream runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlmodel import Field

from storage import states
from storage.engine.column_types import Integer64
from storage.models import declare


class Job(declare.Base, table=True):
    """Work to do: one row per kind and run, kept until it is done. A repeated request raises `requested`."""

    __tablename__ = "jobs"
    __table_args__ = (
        declare.one_of("kind", states.Kind),
        declare.one_of("trigger", states.Source),
        UniqueConstraint("kind", "run_id"),
        declare.partial_index("ix_jobs_priority_due_at", ("priority", "due_at"), "dead_at IS NULL"),
        declare.partial_index("ix_jobs_dead_at", "dead_at", "dead_at IS NOT NULL"),
    )
    seq: int | None = declare.seq()
    id: str = declare.text(null=False, unique=True)
    kind: str = declare.text(null=False)
    run_id: str = declare.text(null=False)
    priority: int = declare.integer(null=False)
    created_at: datetime = declare.at(null=False)
    due_at: datetime = declare.at(null=False, index=True)
    requested: int = declare.integer(null=False, default=1)
    #: What caused the first request since the upstream last showed the run alive.
    trigger: str | None = declare.text()
    #: What caused the first request that came while the job was leased.
    pending_trigger: str | None = declare.text()
    lease_owner: str | None = declare.text()
    lease_until: datetime | None = declare.at()
    #: Grows with each claim; the holder of an older value must not write.
    fence: int = declare.integer(null=False, default=0)
    #: Claims since a callback or an API client last requested the job; consecutive failures.
    attempts: int = declare.integer(null=False, default=0)
    failures: int = declare.integer(null=False, default=0)
    #: How often in a row, and since when, the upstream refused the request of this job.
    refusals: int = declare.integer(null=False, default=0)
    refused_since: datetime | None = declare.at()
    last_error: str | None = declare.text()
    last_error_at: datetime | None = declare.at()
    dead_at: datetime | None = declare.at()


class SystemState(declare.Base, table=True):
    """The single row that all processes share: the pause, the rate limit, when workers were last seen."""

    __tablename__ = "system_state"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)
    id: int | None = Field(default=None, sa_type=Integer64, primary_key=True)
    paused_until: datetime | None = declare.at()
    pause_reason: str | None = declare.text()
    #: How often in a row the pause was extended; 0 = the upstream answers.
    pause_streak: int = declare.integer(null=False, default=0)
    rate_limit: Any = declare.json()
    upstream_ok_at: datetime | None = declare.at()
    worker_seen_at: datetime | None = declare.at()
    swept_at: datetime | None = declare.at()
    #: An interrupted sweep: the run after which it continues, when it began, how far back it came, and whether it
    #: could handle all runs that it saw; null where none was interrupted.
    sweep_cursor: str | None = declare.text()
    sweep_began_at: datetime | None = declare.at()
    sweep_reached_at: datetime | None = declare.at()
    sweep_all_handled: bool = declare.flag()
    #: Follow-ups of a run's end: true while any server of the deployment has the setting for it.
    notifies: bool = declare.flag()
    captures: bool = declare.flag()
    #: When a server with the setting was last seen, and when a worker that can send notifications.
    notifies_set_at: datetime | None = declare.at()
    captures_set_at: datetime | None = declare.at()
    notifier_seen_at: datetime | None = declare.at()
    #: The lease of the command that may change our webhook endpoint upstream. The fence grows with each lease.
    webhooks_fence: int = declare.integer(null=False, default=0)
    webhooks_until: datetime | None = declare.at()
    #: When the store was last marked as restored from a backup.
    restored_at: datetime | None = declare.at()
    #: When this database was made as a copy of a store; null once it is marked as restored.
    copied_at: datetime | None = declare.at()
    #: The database that replaced this one, which must not be used any more.
    moved_to: str | None = declare.text()


class Worker(declare.Base, table=True):
    """A worker that was seen lately; `id` is the owner of its leases."""

    __tablename__ = "workers"
    id: str = declare.text(null=False, primary_key=True)
    #: The machine and the process.
    name: str = declare.text(null=False)
    version: str = declare.text(null=False)
    began_at: datetime = declare.at(null=False)
    seen_at: datetime = declare.at(null=False)


class Backfill(declare.Base, table=True):
    """A walk through the upstream's list. `cursor` is where it continues; null at its beginning."""

    __tablename__ = "backfills"
    #: A hash of the parameters, so that the same request continues where it was interrupted.
    id: str = declare.text(null=False, primary_key=True)
    agent_id: str | None = declare.text()
    status: str | None = declare.text()
    since: datetime | None = declare.at()
    cursor: str | None = declare.text()
    seen: int = declare.integer(null=False, default=0)
    taken: int = declare.integer(null=False, default=0)
    started_at: datetime = declare.at(null=False)
    finished_at: datetime | None = declare.at()


class BulkAction(declare.Base, table=True):
    """An action on many runs. It is done up to `position`; runs above `last_seq` came later and are left alone."""

    __tablename__ = "bulk_actions"
    __table_args__ = (
        declare.one_of("action", states.BulkKind),
        UniqueConstraint("submitted_by", "idempotency_key"),
        declare.partial_index("ix_bulk_actions_open", "worked_at", "finished_at IS NULL"),
    )
    id: str = declare.text(null=False, primary_key=True)
    action: str = declare.text(null=False)
    submitted_by: str = declare.text(null=False)
    actor: str = declare.text(null=False)
    idempotency_key: str | None = declare.text()
    #: A filter in the filter language, whose ages count from `created_at`; null where runs are listed.
    question: str | None = declare.text()
    #: The keys of the listed runs.
    run_seqs: Any = declare.json()
    #: The tags to set; null removes one.
    tags: Any = declare.json()
    created_at: datetime = declare.at(null=False)
    #: When the last part was done.
    worked_at: datetime = declare.at(null=False)
    position: int = declare.integer(null=False, default=0)
    last_seq: int = declare.integer(null=False)
    #: How many runs there were at the beginning; a lower bound where it is not exact.
    total: int = declare.integer(null=False)
    is_exact: bool = declare.flag()
    done: int = declare.integer(null=False, default=0)
    failed: int = declare.integer(null=False, default=0)
    #: The first failures, each with its run.
    errors: Any = declare.json()
    finished_at: datetime | None = declare.at()
    is_stopped: bool = declare.flag()


class UnknownRun(declare.Base, table=True):
    """An upstream run that is not ours and was queued when last seen: once it runs, it may be adopted."""

    __tablename__ = "unknown_runs"
    upstream_id: str = declare.text(null=False, primary_key=True)
    listed_at: datetime = declare.at(null=False)
    #: When to ask the upstream about it next.
    ask_at: datetime = declare.at(null=False, index=True)
    missing_since: datetime | None = declare.at()
