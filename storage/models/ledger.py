"""The ledger: entries, with the salts of their digests."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint

from storage.models import declare


class LedgerEntry(declare.Base, table=True):
    """A fact as the canonical JSON that is hashed.

    A row is never updated, except to number it, and to erase `salts`: the salts of its digests in hex, by name.
    """

    __tablename__ = "ledger_entries"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("leaf_index"),
        Index("ix_ledger_entries_run_id", "run_id"),
    )
    seq: int | None = declare.seq()
    id: str = declare.text(null=False)
    run_id: str | None = declare.text()
    kind: str = declare.text(null=False)
    actor: str = declare.text(null=False)
    at: datetime = declare.at(null=False)
    body: str = declare.text(null=False)
    leaf_index: int | None = declare.integer()
    leaf_hash: bytes = declare.blob(null=False)
    salts: dict[str, str] | None = declare.json()
