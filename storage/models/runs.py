"""Runs, and the rows that belong to a run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, UniqueConstraint
from sqlmodel import Field

from storage import states
from storage.engine.column_types import Integer64, Json
from storage.models import declare


class Run(declare.Base, table=True):
    """A run of an agent, from its acceptance on.

    `step_count` is the number of its rows in `run_steps`; once `pruned_at` is set, the number before the removal.
    """

    __tablename__ = "runs"
    __table_args__ = (
        declare.one_of("status", states.Status),
        declare.one_of("origin", states.Origin),
        declare.one_of("settled_by", states.Source),
        UniqueConstraint("submitted_by", "idempotency_key"),
        declare.partial_index("ix_runs_lost_create", "lost_create_since", "lost_create_since IS NOT NULL"),
        declare.partial_index("ix_runs_again_of", ("again_of", "seq"), "again_of IS NOT NULL"),
        declare.partial_index("ix_runs_review", ("review", "seq"), "review IS NOT NULL"),
    )
    seq: int | None = declare.seq()
    id: str = declare.text(null=False, unique=True)
    upstream_id: str | None = declare.text(unique=True)
    origin: str = declare.text(null=False)
    status: str = declare.text(null=False)
    agent_id: str | None = declare.text()
    prompt: str | None = declare.text()
    guidance: str | None = declare.text()
    #: The instructions of an agent for this run alone; only a run that is created in one call has them.
    instructions: str | None = declare.text()
    model: str | None = declare.text()
    object_ids: Any = declare.json()
    submitted_by: str = declare.text(null=False)
    idempotency_key: str | None = declare.text()
    request_sha256: str | None = declare.text()
    accepted_at: datetime = declare.at(null=False)
    created_at: datetime | None = declare.at()
    started_at: datetime | None = declare.at()
    completed_at: datetime | None = declare.at()
    settled_at: datetime | None = declare.at()
    settled_by: str | None = declare.text()
    cancel_requested_at: datetime | None = declare.at()
    refresh_requested_at: datetime | None = declare.at()
    expected_by: datetime | None = declare.at()
    asked_at: datetime | None = declare.at()
    missing_since: datetime | None = declare.at()
    #: When the answer to a create may have been lost, so that its run may exist upstream; null = none was lost.
    lost_create_since: datetime | None = declare.at()
    #: Whether the upstream accepted a callback address for this run.
    watched: bool = declare.flag()
    duration_ms: int | None = declare.integer()
    input_tokens: int | None = declare.integer()
    output_tokens: int | None = declare.integer()
    tool_calls: int | None = declare.integer()
    cost_micros: int | None = declare.integer()
    output: str | None = declare.text()
    summary: str | None = declare.text()
    failure_reason: str | None = declare.text()
    failure_source: str | None = declare.text()
    step_count: int = declare.integer(null=False, default=0)
    #: When texts, steps and documents were removed; measures and ledger entries stay.
    pruned_at: datetime | None = declare.at()
    #: When the capture of its event stream ended, and a note on what is missing; null = not captured.
    captured_at: datetime | None = declare.at()
    capture_note: str | None = declare.text()
    #: When a backup was restored in which this run was not started yet; null = never.
    restored_at: datetime | None = declare.at()
    #: The run that this one runs again, by our id.
    again_of: str | None = declare.text()
    #: The newest judgement of its reviews, `approved` or `rejected`; null where there is none.
    review: str | None = declare.text()


class RunTag(declare.Base, table=True):
    """A tag of a submission. It has its own table, since that finds a rare tag 100 times faster."""

    __tablename__ = "run_tags"
    __table_args__ = (Index("ix_run_tags_key_value_run_seq", "key", "value", "run_seq"),)
    run_seq: int = Field(sa_type=Integer64, primary_key=True)
    key: str = declare.text(null=False, primary_key=True)
    run_id: str = declare.text(null=False)
    value: str = declare.text(null=False)


class RunTool(declare.Base, table=True):
    """A tool that was used in a run; one row however often it was used."""

    __tablename__ = "run_tools"
    name: str = declare.text(null=False, primary_key=True)
    run_seq: int = Field(sa_type=Integer64, primary_key=True)
    run_id: str = declare.text(null=False)


class RunStep(declare.Base, table=True):
    """A step of a run's trace. `id` is the run's seq times 65,536 plus the position.

    `is_failed` is null in steps that were stored by a release before schema 0021.
    """

    __tablename__ = "run_steps"
    id: int | None = Field(default=None, sa_type=Integer64, primary_key=True)
    run_id: str = declare.text(null=False, index=True)
    position: int = declare.integer(null=False)
    upstream_id: str | None = declare.text()
    type: str | None = declare.text()
    content: str | None = declare.text()
    tool_name: str | None = declare.text()
    tool_input: Any = declare.json()
    tool_output: Any = declare.json()
    duration_ms: int | None = declare.integer()
    timestamp: datetime | None = declare.at()
    salt: bytes = declare.blob(null=False)
    is_failed: bool | None = Field(default=None)


class RunUsage(declare.Base, table=True):
    """A usage entry of a run. `id` is as in `run_steps`."""

    __tablename__ = "run_usage"
    id: int | None = Field(default=None, sa_type=Integer64, primary_key=True)
    run_id: str = declare.text(null=False, index=True)
    position: int = declare.integer(null=False)
    upstream_id: str | None = declare.text()
    kind: str | None = declare.text()
    service: str | None = declare.text()
    endpoint: str | None = declare.text()
    method: str | None = declare.text()
    status_code: int | None = declare.integer()
    cost_micros: int | None = declare.integer()
    prompt_tokens: int | None = declare.integer()
    completion_tokens: int | None = declare.integer()
    total_tokens: int | None = declare.integer()
    model: str | None = declare.text()
    timestamp: datetime | None = declare.at()
    details: Any = Field(default=None, sa_column=Column("metadata", Json))
    salt: bytes = declare.blob(null=False)


class RunDocument(declare.Base, table=True):
    """The upstream's answer byte for byte, as one zstd frame; a later fetch that differs is a further version."""

    __tablename__ = "run_documents"
    __table_args__ = (UniqueConstraint("run_id", "version"),)
    seq: int | None = declare.seq()
    run_id: str = declare.text(null=False)
    version: int = declare.integer(null=False)
    fetched_at: datetime = declare.at(null=False)
    body: bytes = declare.blob(null=False)
    body_sha256: str = declare.text(null=False)
    size: int = declare.integer(null=False)
    parse_error: str | None = declare.text()


class RunEvent(declare.Base, table=True):
    """An event of a run's event stream. `event_id` is the upstream's number in the run: it grows, with gaps."""

    __tablename__ = "run_events"
    __table_args__ = (UniqueConstraint("run_id", "event_id"),)
    seq: int | None = declare.seq()
    run_id: str = declare.text(null=False)
    event_id: int = declare.integer(null=False)
    type: str = declare.text(null=False)
    received_at: datetime = declare.at(null=False)
    data: str = declare.text(null=False)


class RunReview(declare.Base, table=True):
    """What a person said about a run that had ended. `by` is the actor of the ledger."""

    __tablename__ = "run_reviews"
    __table_args__ = (declare.one_of("verdict", states.ReviewVerdict),)
    seq: int | None = declare.seq()
    id: str = declare.text(null=False, unique=True)
    run_id: str = declare.text(null=False, index=True)
    verdict: str = declare.text(null=False)
    comment: str | None = declare.text()
    by: str = declare.text(null=False)
    at: datetime = declare.at(null=False)


class UpstreamLink(declare.Base, table=True):
    """An upstream run of ours: the one that we execute, or an orphan of a create whose answer was lost."""

    __tablename__ = "upstream_links"
    __table_args__ = (declare.one_of("role", states.Role),)
    upstream_id: str = declare.text(null=False, primary_key=True)
    run_id: str = declare.text(null=False, index=True)
    role: str = declare.text(null=False)
    linked_at: datetime = declare.at(null=False)
    cancelled_at: datetime | None = declare.at()


for _names in (("agent_id", "status"), ("status",), ("model",)):
    declare.filter_index(declare.table(Run), *_names)
for _name in ("accepted_at", "settled_at", "cost_micros", "duration_ms"):
    declare.sort_index(declare.table(Run), _name)
#: When the upstream created the run; where it never did, when the run was accepted.
CREATED = "coalesce(created_at, accepted_at)"
declare.expression_index(declare.table(Run), "created", CREATED, "agent_id")
declare.expression_index(declare.table(Run), "created", CREATED)
declare.expression_index(declare.table(Run), "tokens", "(input_tokens + output_tokens)")
