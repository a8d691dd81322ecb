"""Proofs that an entry stands in the log: its leaf, its hashes, and a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, func, select

from storage.engine import prepared
from storage.ledger import checkpoints, forms, publication
from storage.tables.ledger import LEDGER_COSIGNATURES, LEDGER_ENTRIES, LEDGER_REPORTS


class Proved(msgspec.Struct, frozen=True):
    """An entry with its proof: the number, the bytes of the leaf, the proof in the form `tlog-proof`."""

    index: int
    leaf: bytes
    proof: str


class OfRun(msgspec.Struct, frozen=True):
    """An entry of a run. Its number is None until it has one, its proof until a checkpoint has the entry.

    `seq` is the key of the row, after which a later page continues.
    """

    seq: int
    number: int | None
    leaf: bytes
    proof: str | None


class LastSigned(msgspec.Struct, frozen=True):
    """The newest checkpoint that a witness has signed, and when its signature came."""

    size: int
    received_at: datetime


def last_signed(connection: Connection) -> dict[str, LastSigned]:
    """Return of each witness, as its signatures name it, the newest checkpoint that it signed."""
    size, witness = func.max(_SIGNED.size), _SIGNED.witness
    found = connection.execute(select(witness, size, func.max(_SIGNED.received_at)).group_by(witness))
    return {name: LastSigned(largest, at) for name, largest, at in found}


def leaf(connection: Connection, index: int) -> bytes | None:
    """Return the bytes of the entry with a number; None where there is none."""
    found = _LEAF.first(connection, {"index": index})
    return None if found is None else found.body.encode()


def prove(connection: Connection, index: int) -> Proved | None:
    """Return the proof of an entry; None where the newest checkpoint does not have it yet."""
    body, proof = leaf(connection, index), best_prover(connection)(index)
    return None if body is None or proof is None else Proved(index, body, proof)


def of_run(connection: Connection, run_id: str, after: int, limit: int) -> list[OfRun]:
    """Return up to `limit` entries of a run behind the row `after`, in their order, each with its proof."""
    rows = _ROWS.where(_ENTRIES.run_id == run_id, _ENTRIES.seq > after).order_by(_ENTRIES.seq).limit(limit)
    found, proof = connection.execute(rows).all(), best_prover(connection)
    return [OfRun(seq, number, body.encode(), proof(number)) for seq, number, body in found]


def best_prover(connection: Connection) -> Callable[[int | None], str | None]:
    """Return a function that makes the proofs of entries, under a checkpoint that enough witnesses have signed.

    Entries that it lacks are proved under the newest one, until the witnesses have signed that.
    """
    enough = _BY_ENOUGH.first(connection, {})
    found = None if enough is None else checkpoints.find(connection, enough.size)
    witnessed = prover(connection, None if found is None else with_witnesses(connection, found))
    newest = prover(connection, newest_checkpoint(connection))
    return lambda number: witnessed(number) or newest(number)


def prover(connection: Connection, newest: checkpoints.Checkpoint | None) -> Callable[[int | None], str | None]:
    """Return a function that makes the proofs of entries; None for those that the checkpoint lacks."""
    if newest is None:
        return lambda _: None
    grown = checkpoints.open_tree(connection, newest.size)

    def proof(number: int | None) -> str | None:
        if number is None or number >= newest.size:
            return None
        return forms.proof(number, grown.inclusion(number), newest.note)

    return proof


def newest_checkpoint(connection: Connection) -> checkpoints.Checkpoint | None:
    """Return the newest checkpoint, whose note has the lines of its witnesses, too."""
    newest = checkpoints.newest(connection)
    return None if newest is None else with_witnesses(connection, newest)


def with_witnesses(connection: Connection, newest: checkpoints.Checkpoint) -> checkpoints.Checkpoint:
    """Return a checkpoint with the lines of its witnesses in the note."""
    found = _LINES.all(connection, {"size": newest.size})
    return replace(newest, note=newest.note + "".join(f"{each.line}\n" for each in found))


_ENTRIES, _SIGNED = LEDGER_ENTRIES.c, LEDGER_COSIGNATURES.c
_LEAF = prepared.Prepared(lambda _: select(_ENTRIES.body).where(_ENTRIES.leaf_index == bindparam("index")))
_LINES = prepared.Prepared(
    lambda _: select(_SIGNED.line).where(_SIGNED.size == bindparam("size")).order_by(_SIGNED.witness)
)
_BY_ENOUGH = prepared.Prepared(
    lambda _: select(LEDGER_REPORTS.c.size).where(LEDGER_REPORTS.c.subject == publication.QUORUM)
)
_ROWS = select(_ENTRIES.seq, _ENTRIES.leaf_index, _ENTRIES.body)
