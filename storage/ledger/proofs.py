"""Proofs that an entry stands in the log: its leaf, its hashes, and the newest checkpoint."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, select

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
    return next(iter(_proved(connection, LEDGER_ENTRIES.c.leaf_index == index)), None)


def of_run(connection: Connection, run_id: str) -> list[Proved]:
    """Return the entries of a run with their proofs, those that the newest checkpoint has, in their order."""
    return _proved(connection, LEDGER_ENTRIES.c.run_id == run_id)


def _proved(connection: Connection, which: ColumnElement[bool]) -> list[Proved]:
    newest, index = newest_checkpoint(connection), LEDGER_ENTRIES.c.leaf_index
    if newest is None:
        return []
    grown = checkpoints.open_tree(connection, newest.size)
    rows = select(index, LEDGER_ENTRIES.c.body).where(which, index < newest.size).order_by(index)
    return [
        Proved(number, body.encode(), forms.proof(number, grown.inclusion(number), newest.note))
        for number, body in connection.execute(rows)
    ]


def newest_checkpoint(connection: Connection) -> checkpoints.Checkpoint | None:
    """Return the newest checkpoint, whose note has the lines of its witnesses, too."""
    newest = checkpoints.newest(connection)
    if newest is None:
        return None
    lines = select(LEDGER_COSIGNATURES.c.line).where(LEDGER_COSIGNATURES.c.size == newest.size)
    found = connection.execute(lines.order_by(LEDGER_COSIGNATURES.c.witness)).scalars()
    return replace(newest, note=newest.note + "".join(f"{line}\n" for line in found))
