"""Proofs that an entry stands in the log: its leaf, its hashes, and the newest checkpoint."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, select

from storage.ledger import checkpoints, forms
from storage.tables.ledger import LEDGER_COSIGNATURES, LEDGER_ENTRIES


class Proved(msgspec.Struct, frozen=True):
    """An entry with its proof: the number, the bytes of the leaf, the proof in the form `tlog-proof`."""

    index: int
    leaf: bytes
    proof: str


def leaf(connection: Connection, index: int) -> bytes | None:
    """Return the bytes of the entry with a number; None where there is none."""
    found = connection.execute(select(LEDGER_ENTRIES.c.body).where(LEDGER_ENTRIES.c.leaf_index == index)).scalar()
    return None if found is None else found.encode()


def prove(connection: Connection, index: int) -> Proved | None:
    """Return the proof of an entry; None where the newest checkpoint does not have it yet."""
    newest, bytes_ = checkpoints.newest(connection), leaf(connection, index)
    if newest is None or bytes_ is None or index >= newest.size:
        return None
    hashes = checkpoints.open_tree(connection, newest.size).inclusion(index)
    return Proved(index, bytes_, forms.proof(index, hashes, note(connection, newest)))


def of_run(connection: Connection, run_id: str) -> list[Proved]:
    """Return the entries of a run with their proofs, those that the newest checkpoint has, in their order."""
    newest = checkpoints.newest(connection)
    if newest is None:
        return []
    index = LEDGER_ENTRIES.c.leaf_index
    of_run = select(index, LEDGER_ENTRIES.c.body).where(LEDGER_ENTRIES.c.run_id == run_id, index < newest.size)
    grown, signed = checkpoints.open_tree(connection, newest.size), note(connection, newest)
    return [
        Proved(number, body.encode(), forms.proof(number, grown.inclusion(number), signed))
        for number, body in connection.execute(of_run.order_by(index))
    ]


def note(connection: Connection, checkpoint: checkpoints.Checkpoint) -> str:
    """Return the note of a checkpoint with the lines of its witnesses."""
    lines = select(LEDGER_COSIGNATURES.c.line).where(LEDGER_COSIGNATURES.c.size == checkpoint.size)
    found = connection.execute(lines.order_by(LEDGER_COSIGNATURES.c.witness)).scalars()
    return checkpoint.note + "".join(f"{line}\n" for line in found)
