"""What witnesses sign: which checkpoint they are asked for, their signatures, and the newest that enough signed.

All witnesses are asked for the same checkpoint, since a quorum is of signatures under one. It changes at most once
in an interval, and is kept while they are asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select

from storage.engine import dialect, writer
from storage.ledger import checkpoints, publication
from storage.tables.ledger import LEDGER_CHECKPOINTS, LEDGER_COSIGNATURES, LEDGER_REPORTS


def chosen(connection: Connection) -> checkpoints.Checkpoint | None:
    """Return the checkpoint that witnesses are asked for; None before the first."""
    return checkpoints.find(connection, _report(connection, publication.CHOSEN).size)


def is_due(connection: Connection, interval: float, now: datetime) -> bool:
    """Return whether another checkpoint should be chosen."""
    report, newest = _report(connection, publication.CHOSEN), checkpoints.newest(connection)
    if newest is None or newest.size == report.size:
        return False
    return report.reached_at is None or now - report.reached_at >= timedelta(seconds=interval)


def choose(connection: Connection, origin: str, interval: float, now: datetime) -> None:
    """Choose the newest checkpoint, unless another process signs just now or has chosen."""
    if not dialect.try_acquire_lock(connection, "checkpoint") or not is_due(connection, interval, now):
        return
    newest = checkpoints.newest(connection)
    if newest is not None:
        publication.reached(connection, publication.CHOSEN, origin, newest.size, now)


def consistency(connection: Connection, old: int, size: int) -> Sequence[bytes]:
    """Return the hashes that show that the tree of `size` entries continues that of `old` ones."""
    return checkpoints.open_tree(connection, size).consistency(old) if 0 < old < size else ()


def last_size(connection: Connection, witness: str) -> int:
    """Return the size of the newest checkpoint that a witness signed; 0 without one."""
    signed = select(func.max(LEDGER_COSIGNATURES.c.size)).where(LEDGER_COSIGNATURES.c.witness == witness)
    return connection.execute(signed).scalar() or 0


def store(connection: Connection, signed: checkpoints.Checkpoint, lines: Mapping[str, str], now: datetime) -> None:
    """Store the lines of a witness under a checkpoint, each under the name and the id of its key."""
    kept = dialect.insert(connection, LEDGER_CHECKPOINTS).values(
        size=signed.size, root=signed.root, note=signed.note, signed_at=signed.signed_at
    )
    connection.execute(kept.on_conflict_do_nothing())
    rows = [
        {"size": signed.size, "witness": witness, "line": line, "received_at": now}
        for witness, line in lines.items()
    ]
    insert = dialect.insert(connection, LEDGER_COSIGNATURES).values(rows)
    values = {"line": insert.excluded.line, "received_at": now}
    connection.execute(insert.on_conflict_do_update(index_elements=["size", "witness"], set_=values))
    writer.leave_no_work(connection)


def update_quorum(
    connection: Connection, origin: str, witnesses: Sequence[str], quorum: int, now: datetime
) -> None:
    """Record the newest checkpoint that so many of the witnesses have signed, which proofs then have."""
    signed = LEDGER_COSIGNATURES.c
    by_enough = (
        select(signed.size)
        .where(signed.witness.in_(witnesses))
        .group_by(signed.size)
        .having(func.count() >= quorum)
        .order_by(signed.size.desc())
        .limit(1)
    )
    found = connection.execute(by_enough).scalar() if witnesses else None
    known = _report(connection, publication.QUORUM)
    if found is None:
        connection.execute(delete(LEDGER_REPORTS).where(LEDGER_REPORTS.c.subject == publication.QUORUM))
    elif (found, origin) != (known.size, known.origin):
        publication.reached(connection, publication.QUORUM, origin, found, now)
    writer.leave_no_work(connection)


def _report(connection: Connection, subject: str) -> publication.Report:
    found = (each for each in publication.read(connection) if each.subject == subject)
    return next(found, publication.Report(subject, ""))
