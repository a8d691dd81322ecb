"""The ledger: entries and the salts of their digests."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, Text, UniqueConstraint
from sqlmodel import Field

from storage.tables import declare


class LedgerEntry(declare.Base, table=True):
    """A fact as the canonical JSON that is hashed. A row is never updated, except to number it."""

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


class LedgerSalt(declare.Base, table=True):
    """The salt of a digest in a ledger entry; it is erased together with the value."""

    __tablename__ = "ledger_salts"
    entry_id: str = Field(sa_type=Text, primary_key=True)
    name: str = Field(sa_type=Text, primary_key=True)
    salt: bytes = declare.blob(null=False)


LEDGER_ENTRIES = declare.table(LedgerEntry)
LEDGER_SALTS = declare.table(LedgerSalt)
