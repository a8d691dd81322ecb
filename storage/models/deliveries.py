"""Deliveries, and the counts of rejected requests."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Field

from storage import states
from storage.engine.column_types import Instant
from storage.models import declare


class Delivery(declare.Base, table=True):
    """A request that arrived at a public endpoint. Only the accepted row of a key has its `dedupe_key`."""

    __tablename__ = "deliveries"
    __table_args__ = (
        declare.one_of("source", (states.Source.WATCHER, states.Source.PLATFORM)),
        declare.one_of("verdict", states.Verdict),
        declare.partial_index(
            "ix_deliveries_unmatched", ("run_id", "received_at"), "run_id IS NULL AND body_sha256 <> ''"
        ),
        declare.partial_index(
            "ix_deliveries_unlinked", "upstream_id", "run_id IS NULL AND upstream_id IS NOT NULL"
        ),
    )
    seq: int | None = declare.seq()
    id: str = declare.text(null=False, unique=True)
    source: str = declare.text(null=False)
    run_id: str | None = declare.text(index=True)
    #: The upstream run that the body names: a hint, never a fact.
    upstream_id: str | None = declare.text()
    event_id: str | None = declare.text()
    event_type: str | None = declare.text()
    received_at: datetime = declare.at(null=False)
    verdict: str = declare.text(null=False)
    reason: str | None = declare.text()
    duplicate_of: str | None = declare.text(index=True)
    repeats: int = declare.integer(null=False, default=0)
    last_repeat_at: datetime | None = declare.at()
    remote_addr: str | None = declare.text()
    headers: Any = declare.json()
    body: bytes = declare.blob(null=False)
    body_sha256: str = declare.text(null=False)
    size: int = declare.integer(null=False)
    secret_used: str | None = declare.text()
    dedupe_key: str | None = declare.text(unique=True)


class Rejection(declare.Base, table=True):
    """The number of requests rejected in an hour, by cause; `counted` is true once it is in the ledger."""

    __tablename__ = "rejections"
    hour: datetime = Field(sa_type=Instant, primary_key=True)
    cause: str = declare.text(null=False, primary_key=True)
    count: int = declare.integer(null=False, default=0)
    counted: bool = declare.flag()
