"""The ledger: entries, with the salts of their digests."""

from __future__ import annotations

from datetime import datetime

from storage.models import declare


class LedgerEntry(declare.Base, table=True):
    """A fact as the canonical JSON that is hashed.

    A row is never updated, except to number it, and to erase `salts`: the salts of its digests in hex, by name.
    """

    __tablename__ = "ledger_entries"
    seq: int | None = declare.seq()
    id: str = declare.text(null=False, unique=True)
    run_id: str | None = declare.text(index=True)
    kind: str = declare.text(null=False)
    actor: str = declare.text(null=False)
    at: datetime = declare.at(null=False)
    body: str = declare.text(null=False)
    leaf_index: int | None = declare.integer(unique=True)
    leaf_hash: bytes = declare.blob(null=False)
    salts: dict[str, str] | None = declare.json()
