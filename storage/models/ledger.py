"""The ledger: entries with the salts of their digests, the tree over them, and its checkpoints."""

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


class LedgerNode(declare.Base, table=True):
    """The hash of a whole subtree of 256 entries (row 1), of 65,536 (row 2), and so on; never updated."""

    __tablename__ = "ledger_nodes"
    row: int = declare.integer(null=False, primary_key=True)
    position: int = declare.integer(null=False, primary_key=True)
    hash: bytes = declare.blob(null=False)


class LedgerCheckpoint(declare.Base, table=True):
    """The signed root of the tree over the first `size` entries; never updated."""

    __tablename__ = "ledger_checkpoints"
    size: int = declare.integer(null=False, primary_key=True)
    root: bytes = declare.blob(null=False)
    #: The note that was signed, with the lines of the log's own keys.
    note: str = declare.text(null=False)
    signed_at: datetime = declare.at(null=False)


class LedgerCosignature(declare.Base, table=True):
    """The line of a witness under a checkpoint, as it answered."""

    __tablename__ = "ledger_cosignatures"
    size: int = declare.integer(null=False, primary_key=True)
    witness: str = declare.text(null=False, primary_key=True)
    line: str = declare.text(null=False)
    received_at: datetime = declare.at(null=False)


class LedgerReport(declare.Base, table=True):
    """How signing and publishing checkpoints goes: `signing`, `folder`, `quorum`, and of each witness its key."""

    __tablename__ = "ledger_reports"
    subject: str = declare.text(null=False, primary_key=True)
    origin: str = declare.text(null=False)
    #: The size of the newest checkpoint there, and when that was last found to be right.
    size: int | None = declare.integer()
    reached_at: datetime | None = declare.at()
    problem: str | None = declare.text()
    since: datetime | None = declare.at()
    #: Whether nothing may be signed because of the problem.
    halts: bool = declare.flag()


class CompletenessReport(declare.Base, table=True):
    """A comparison of the upstream's list with the store: canonical JSON, of which an entry has the digest."""

    __tablename__ = "completeness_reports"
    id: str = declare.text(null=False, primary_key=True)
    checked_at: datetime = declare.at(null=False)
    body: str = declare.text(null=False)
