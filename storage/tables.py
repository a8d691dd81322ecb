"""Every table, constraint and index. People query these with their own SQL: names are contracts.

The classes define tables and validate nothing; CHECK constraints guard the schema, pydantic guards the edges.
Statements use the Core tables at the bottom.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, MetaData, Table, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from storage import states
from storage.columns import NAMES, Bytes, Instant, Integer64, Json

metadata = MetaData(naming_convention=NAMES)


class Base(SQLModel):
    """All tables of ours share one metadata, so that constraints have names."""

    metadata = metadata


def _seq() -> Any:
    return Field(default=None, sa_column=Column("seq", Integer64, primary_key=True))


def _text(*, null: bool = True, **options: Any) -> Any:
    return Field(default=None, sa_type=Text, nullable=null, **options)


def _at(*, null: bool = True) -> Any:
    return Field(default=None, sa_type=Instant, nullable=null)


def _int(*, null: bool = True, default: int | None = None) -> Any:
    server = {} if default is None else {"server_default": str(default)}
    return Field(default=default, sa_type=Integer64, nullable=null, sa_column_kwargs=server)


def _json(*, null: bool = True) -> Any:
    return Field(default=None, sa_type=Json, nullable=null)


def _bytes(*, null: bool = True) -> Any:
    return Field(default=None, sa_type=Bytes, nullable=null)


def _where(name: str, column: str, condition: str) -> Index:
    """A partial index: small, since it holds the rows in question only."""
    return Index(name, column, sqlite_where=text(condition), postgresql_where=text(condition))


def _one_of(column: str, values: Iterable[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class Run(Base, table=True):
    """One run of an agent, from the moment we promised to take care of it."""

    __tablename__ = "runs"
    __table_args__ = (
        _one_of("status", states.Status),
        _one_of("origin", states.Origin),
        _one_of("settled_by", states.Road),
        UniqueConstraint("id"),
        UniqueConstraint("upstream_id"),
        UniqueConstraint("submitted_by", "idempotency_key"),
        Index("ix_runs_agent_id_status", "agent_id", "status"),
        Index("ix_runs_agent_id_created_at", "agent_id", "created_at"),
        Index("ix_runs_status", "status"),
        Index("ix_runs_created_at", "created_at"),
        Index("ix_runs_settled_at", "settled_at"),
        Index("ix_runs_cost_micros", "cost_micros"),
        Index("ix_runs_duration_ms", "duration_ms"),
        Index("ix_runs_model", "model"),
        _where("ix_runs_stray", "stray_since", "stray_since IS NOT NULL"),
    )
    seq: int | None = _seq()
    id: str = _text(null=False)
    upstream_id: str | None = _text()
    origin: str = _text(null=False)
    status: str = _text(null=False)
    agent_id: str | None = _text()
    prompt: str | None = _text()
    guidance: str | None = _text()
    model: str | None = _text()
    object_ids: Any = _json()
    submitted_by: str = _text(null=False)
    idempotency_key: str | None = _text()
    request_sha256: str | None = _text()
    accepted_at: datetime = _at(null=False)
    created_at: datetime | None = _at()
    started_at: datetime | None = _at()
    completed_at: datetime | None = _at()
    settled_at: datetime | None = _at()
    settled_by: str | None = _text()
    cancel_requested_at: datetime | None = _at()
    refresh_requested_at: datetime | None = _at()
    expected_by: datetime | None = _at()
    asked_at: datetime | None = _at()
    missing_since: datetime | None = _at()
    #: When a create of ours may have been lost whose run still shows up upstream; null = none can.
    stray_since: datetime | None = _at()
    #: Whether the upstream took a callback address for this run.
    watched: bool = Field(default=False, nullable=False, sa_column_kwargs={"server_default": text("false")})
    duration_ms: int | None = _int()
    input_tokens: int | None = _int()
    output_tokens: int | None = _int()
    tool_calls: int | None = _int()
    cost_micros: int | None = _int()
    output: str | None = _text()
    summary: str | None = _text()
    failure_reason: str | None = _text()
    failure_source: str | None = _text()
    step_count: int = _int(null=False, default=0)


class RunTag(Base, table=True):
    """A tag given at submission; a table of its own, since a rare tag is found 100 times faster so."""

    __tablename__ = "run_tags"
    __table_args__ = (Index("ix_run_tags_key_value_run_seq", "key", "value", "run_seq"),)
    run_seq: int = Field(sa_type=Integer64, primary_key=True)
    key: str = Field(sa_type=Text, primary_key=True)
    run_id: str = _text(null=False)
    value: str = _text(null=False)


class RunStep(Base, table=True):
    """A step of a run's trace. `id` is the run's seq times 65,536 plus the position."""

    __tablename__ = "run_steps"
    __table_args__ = (Index("ix_run_steps_run_id", "run_id"),)
    id: int | None = Field(default=None, sa_type=Integer64, primary_key=True)
    run_id: str = _text(null=False)
    position: int = _int(null=False)
    upstream_id: str | None = _text()
    type: str | None = _text()
    content: str | None = _text()
    tool_name: str | None = _text()
    tool_input: Any = _json()
    tool_output: Any = _json()
    duration_ms: int | None = _int()
    timestamp: datetime | None = _at()
    salt: bytes = _bytes(null=False)


class RunUsage(Base, table=True):
    """A usage entry of a run. `id` as in `run_steps`."""

    __tablename__ = "run_usage"
    __table_args__ = (Index("ix_run_usage_run_id", "run_id"),)
    id: int | None = Field(default=None, sa_type=Integer64, primary_key=True)
    run_id: str = _text(null=False)
    position: int = _int(null=False)
    upstream_id: str | None = _text()
    kind: str | None = _text()
    service: str | None = _text()
    endpoint: str | None = _text()
    method: str | None = _text()
    status_code: int | None = _int()
    cost_micros: int | None = _int()
    prompt_tokens: int | None = _int()
    completion_tokens: int | None = _int()
    total_tokens: int | None = _int()
    model: str | None = _text()
    timestamp: datetime | None = _at()
    details: Any = Field(default=None, sa_column=Column("metadata", Json))
    salt: bytes = _bytes(null=False)


class RunDocument(Base, table=True):
    """The upstream's answer byte for byte, as one zstd frame; a later fetch that differs is a further version."""

    __tablename__ = "run_documents"
    __table_args__ = (UniqueConstraint("run_id", "version"),)
    seq: int | None = _seq()
    run_id: str = _text(null=False)
    version: int = _int(null=False)
    fetched_at: datetime = _at(null=False)
    body: bytes = _bytes(null=False)
    body_sha256: str = _text(null=False)
    size: int = _int(null=False)
    parse_error: str | None = _text()


class UpstreamLink(Base, table=True):
    """Which upstream runs are ours: the one we execute, and orphans of a create whose answer was lost."""

    __tablename__ = "upstream_links"
    __table_args__ = (_one_of("role", states.Role), Index("ix_upstream_links_run_id", "run_id"))
    upstream_id: str = Field(sa_type=Text, primary_key=True)
    run_id: str = _text(null=False)
    role: str = _text(null=False)
    linked_at: datetime = _at(null=False)
    cancelled_at: datetime | None = _at()


class Delivery(Base, table=True):
    """A request that came to a public endpoint. `dedupe_key` stands in the accepted row of its key only."""

    __tablename__ = "deliveries"
    __table_args__ = (
        _one_of("road", (states.Road.WATCHER, states.Road.PLATFORM)),
        _one_of("verdict", states.Verdict),
        UniqueConstraint("id"),
        UniqueConstraint("dedupe_key"),
        Index("ix_deliveries_run_id", "run_id"),
        Index("ix_deliveries_duplicate_of", "duplicate_of"),
        _where("ix_deliveries_unlinked", "upstream_id", "run_id IS NULL AND upstream_id IS NOT NULL"),
    )
    seq: int | None = _seq()
    id: str = _text(null=False)
    road: str = _text(null=False)
    run_id: str | None = _text()
    #: The upstream's run that the body names: a hint, never a fact.
    upstream_id: str | None = _text()
    event_id: str | None = _text()
    event_type: str | None = _text()
    received_at: datetime = _at(null=False)
    verdict: str = _text(null=False)
    reason: str | None = _text()
    duplicate_of: str | None = _text()
    repeats: int = _int(null=False, default=0)
    last_repeat_at: datetime | None = _at()
    remote_addr: str | None = _text()
    headers: Any = _json()
    body: bytes = _bytes(null=False)
    body_sha256: str = _text(null=False)
    size: int = _int(null=False)
    secret_used: str | None = _text()
    dedupe_key: str | None = _text()


class Rejection(Base, table=True):
    """How many requests were rejected in an hour, by cause; `counted` once the ledger has said so."""

    __tablename__ = "rejections"
    hour: datetime = Field(sa_type=Instant, primary_key=True)
    cause: str = Field(sa_type=Text, primary_key=True)
    count: int = _int(null=False, default=0)
    counted: bool = Field(default=False, nullable=False, sa_column_kwargs={"server_default": text("false")})


class Job(Base, table=True):
    """A wish that is carried out until it is done. One row per kind and run; a repeated wish raises `wanted`."""

    __tablename__ = "jobs"
    __table_args__ = (
        _one_of("kind", states.Kind),
        _one_of("road", states.Road),
        UniqueConstraint("id"),
        UniqueConstraint("kind", "run_id"),
        Index("ix_jobs_priority_due_at", "priority", "due_at"),
        Index("ix_jobs_due_at", "due_at"),
    )
    seq: int | None = _seq()
    id: str = _text(null=False)
    kind: str = _text(null=False)
    run_id: str = Field(default="", sa_type=Text, nullable=False)
    priority: int = _int(null=False)
    created_at: datetime = _at(null=False)
    due_at: datetime = _at(null=False)
    wanted: int = _int(null=False, default=1)
    #: The road of the first wish since the upstream last showed the run alive.
    road: str | None = _text()
    #: The road of the first wish that came while the job was leased.
    late_road: str | None = _text()
    lease_owner: str | None = _text()
    lease_until: datetime | None = _at()
    #: Grows with every claim; who holds an older one writes nothing.
    fence: int = _int(null=False, default=0)
    #: Claims since a callback or a caller last asked for it; failures in a row.
    attempts: int = _int(null=False, default=0)
    failures: int = _int(null=False, default=0)
    #: How often in a row, and since when, the upstream said no to what this job asks.
    refusals: int = _int(null=False, default=0)
    refused_since: datetime | None = _at()
    last_error: str | None = _text()
    last_error_at: datetime | None = _at()
    dead_at: datetime | None = _at()


class House(Base, table=True):
    """The one row that all workers share: the pause, the rate limit, who was last seen."""

    __tablename__ = "house"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)
    id: int | None = Field(default=None, sa_type=Integer64, primary_key=True)
    paused_until: datetime | None = _at()
    pause_reason: str | None = _text()
    #: How often in a row the pause was renewed; 0 = the upstream answers.
    pause_streak: int = _int(null=False, default=0)
    rate_limit: Any = _json()
    upstream_ok_at: datetime | None = _at()
    worker_seen_at: datetime | None = _at()
    swept_at: datetime | None = _at()


class LedgerEntry(Base, table=True):
    """A fact, as the canonical JSON that is hashed. Never updated but to number it."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("leaf_index"),
        Index("ix_ledger_entries_run_id", "run_id"),
    )
    seq: int | None = _seq()
    id: str = _text(null=False)
    run_id: str | None = _text()
    kind: str = _text(null=False)
    actor: str = _text(null=False)
    at: datetime = _at(null=False)
    body: str = _text(null=False)
    leaf_index: int | None = _int()
    leaf_hash: bytes = _bytes(null=False)


class LedgerSalt(Base, table=True):
    """The salt of a digest in a ledger entry; erased together with the value it hides."""

    __tablename__ = "ledger_salts"
    entry_id: str = Field(sa_type=Text, primary_key=True)
    name: str = Field(sa_type=Text, primary_key=True)
    salt: bytes = _bytes(null=False)


class ApiKey(Base, table=True):
    """A key of the API. The secret itself is stored nowhere."""

    __tablename__ = "api_keys"
    id: str = Field(sa_type=Text, primary_key=True)
    name: str = _text(null=False)
    scopes: Any = _json(null=False)
    secret_sha256: str = _text(null=False)
    created_at: datetime = _at(null=False)
    revoked_at: datetime | None = _at()
    last_used_at: datetime | None = _at()


def _table(model: type[Base]) -> Table:
    return metadata.tables[str(model.__tablename__)]


RUNS, RUN_TAGS, RUN_STEPS = _table(Run), _table(RunTag), _table(RunStep)
RUN_USAGE, RUN_DOCUMENTS, UPSTREAM_LINKS = _table(RunUsage), _table(RunDocument), _table(UpstreamLink)
DELIVERIES, REJECTIONS, JOBS, HOUSE = _table(Delivery), _table(Rejection), _table(Job), _table(House)
LEDGER_ENTRIES, LEDGER_SALTS, API_KEYS = _table(LedgerEntry), _table(LedgerSalt), _table(ApiKey)
