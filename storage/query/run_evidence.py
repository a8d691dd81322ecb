"""What is stored of a run, with its entries, their salts and their proofs, for evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, func, or_, select

from storage import results
from storage.ledger import checkpoints, entries, proofs
from storage.repositories import documents, runs
from storage.tables.deliveries import DELIVERIES
from storage.tables.ledger import LEDGER_CHECKPOINTS, LEDGER_COSIGNATURES, LEDGER_ENTRIES


class Entry(msgspec.Struct, frozen=True):
    """An entry: its number, the bytes of the leaf, the salts that are left of its digests, and its proof."""

    number: int
    leaf: bytes
    salts: Mapping[str, str]
    proof: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A run with its rows, and all its entries in their order. Documents and deliveries are read one by one."""

    run: runs.Run
    steps: Sequence[results.Step]
    usage: Sequence[results.Usage]
    entries: Sequence[Entry]


def pending(connection: Connection, run_ids: Sequence[str], newest: checkpoints.Checkpoint | None) -> list[str]:
    """Return those of these runs that have entries which the checkpoint lacks."""
    index = LEDGER_ENTRIES.c.leaf_index
    beyond = or_(index.is_(None), index >= (newest.size if newest else 0))
    found: list[str] = []
    for run_id in run_ids:
        of_run = select(LEDGER_ENTRIES.c.seq).where(LEDGER_ENTRIES.c.run_id == run_id, beyond).limit(1)
        found += [run_id] if connection.execute(of_run).first() else []
    return found


def checkpoints_of(
    connection: Connection, run_ids: Sequence[str], limit: int = 50
) -> list[checkpoints.Checkpoint]:
    """Return the newest checkpoints that have all entries of these runs, with the lines of their witnesses.

    Those that a witness has signed come first.
    """
    highest = max(
        connection.execute(select(func.max(LEDGER_ENTRIES.c.leaf_index)).where(of_run)).scalar() or 0
        for of_run in (LEDGER_ENTRIES.c.run_id == run_id for run_id in run_ids)
    )
    names = ("size", "root", "note", "signed_at")
    rows = select(*(LEDGER_CHECKPOINTS.c[name] for name in names)).where(LEDGER_CHECKPOINTS.c.size > highest)
    is_witnessed = LEDGER_CHECKPOINTS.c.size.in_(select(LEDGER_COSIGNATURES.c.size))
    newest = LEDGER_CHECKPOINTS.c.size.desc()
    found = [
        checkpoints.Checkpoint(*row)
        for which in (is_witnessed, ~is_witnessed)
        for row in connection.execute(rows.where(which).order_by(newest).limit(50))
    ]
    return [proofs.with_witnesses(connection, each) for each in found]


def read(connection: Connection, run_id: str, newest: checkpoints.Checkpoint) -> Stored | None:
    """Return what is stored of a run; None where the checkpoint lacks an entry of it, or where there is none."""
    run = runs.find(connection, run_id)
    if run is None or pending(connection, [run_id], newest):
        return None
    steps = documents.read(connection, run.seq, results.Step)
    usage = documents.read(connection, run.seq, results.Usage)
    return Stored(run, steps, usage, _entries(connection, run_id, newest))


def _entries(connection: Connection, run_id: str, newest: checkpoints.Checkpoint) -> list[Entry]:
    """Return the entries of a run, and of its deliveries that came before it was known: these name no run."""
    of_run = _rows(connection, LEDGER_ENTRIES.c.run_id == run_id)
    known = {entries.delivery_of(row.body) for row in of_run if row.kind in _OF_DELIVERY}
    received = select(DELIVERIES.c.id, DELIVERIES.c.received_at).where(DELIVERIES.c.run_id == run_id)
    early = {row.id: row.received_at for row in connection.execute(received) if row.id not in known}
    of_early = [
        row
        for entry_id in entries.of_early_deliveries(connection, early)
        for row in _rows(connection, LEDGER_ENTRIES.c.id == entry_id)
    ]
    proof = proofs.prover(connection, newest)
    return [
        Entry(row.leaf_index, row.body.encode(), row.salts if isinstance(row.salts, dict) else {}, proved)
        for row in sorted([*of_run, *of_early], key=lambda row: row.leaf_index)
        if (proved := proof(row.leaf_index)) is not None
    ]


def _rows(connection: Connection, which: Any) -> Sequence[Any]:
    columns = [LEDGER_ENTRIES.c[name] for name in ("leaf_index", "kind", "body", "salts")]
    return connection.execute(select(*columns).where(which)).all()


_OF_DELIVERY = (entries.Kind.DELIVERY_ACCEPTED.value, entries.Kind.DELIVERY_DUPLICATE.value)
