"""How signing and publishing the checkpoints goes, for all processes: a row for each place.

A published checkpoint that this store does not have shows that the store is an older copy. Then nothing is signed:
two histories of one log would be.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, func, select

from storage import errors
from storage.engine import dialect, writer
from storage.ledger import checkpoints
from storage.tables.jobs import SYSTEM_STATE
from storage.tables.ledger import LEDGER_REPORTS

#: The places beside the witnesses: the signing itself, the folder of checkpoints, the quorum of the witnesses.
SIGNING, FOLDER, QUORUM = "signing", "folder", "quorum"
#: The last verification of the whole store, whose problem begins with the number of breaks.
VERIFICATION = "verification"
#: The checkpoint that witnesses are asked for.
CHOSEN = "chosen"
WITNESS = "witness "


class Report(msgspec.Struct, frozen=True):
    """How it goes at one place.

    `size` is that of the newest checkpoint there, found right at `reached_at`. With `halts` nothing may be signed
    because of the `problem`.
    """

    subject: str
    origin: str
    size: int | None = None
    reached_at: datetime | None = None
    problem: str | None = None
    since: datetime | None = None
    halts: bool = False

    @property
    def breaks(self) -> int:
        """Return how many breaks the last verification found; 0 for another place."""
        count = (self.problem or "").partition(" ")[0] if self.subject == VERIFICATION else ""
        return int(count) if count.isdecimal() else 0

    @property
    def witness(self) -> str | None:
        """Return the name and id of the witness; None for another place."""
        return self.subject.removeprefix(WITNESS) if self.subject.startswith(WITNESS) else None


def read(connection: Connection) -> list[Report]:
    """Return the reports of all places, in the order of their names."""
    return [Report(*row) for row in connection.execute(_ALL)]


def reached(connection: Connection, subject: str, origin: str, size: int | None, now: datetime) -> None:
    """Record that a place has the checkpoint of this size, or that its problem is over."""
    _store(connection, Report(subject, origin, size, now))


def failed(
    connection: Connection, subject: str, origin: str, problem: str, now: datetime, *, halts: bool = False
) -> None:
    """Record a problem of a place; what it had before is kept."""
    known = next((each for each in read(connection) if each.subject == subject and each.origin == origin), None)
    before = known or Report(subject, origin)
    since = now if before.since is None else before.since
    _store(connection, Report(subject, origin, before.size, before.reached_at, problem, since, halts))


def keep(connection: Connection, subjects: Collection[str]) -> None:
    """Forget all places but these: the others were removed from the settings."""
    connection.execute(delete(LEDGER_REPORTS).where(LEDGER_REPORTS.c.subject.not_in([*subjects, VERIFICATION])))
    writer.leave_no_work(connection)


def difference(connection: Connection, size: int, root: bytes) -> str | None:
    """Return in what a published checkpoint differs from this store; None where the store continues it."""
    newest = checkpoints.newest(connection)
    signed = newest.size if newest else 0
    if size > signed:
        return f"has a checkpoint of {size} entries, and this store has signed {signed}: it is an older copy"
    if size and checkpoints.open_tree(connection, size).root() != root:
        return f"has another history of the first {size} entries"
    return None


def require_newest(connection: Connection, origin: str, needed: int) -> None:
    """Raise HistoryChanged where a checkpoint was published that this store lacks, or may have been.

    After a restore so many witnesses are `needed` that have said since what they have.
    """
    reports = [each for each in read(connection) if each.origin == origin]
    for each in reports:
        if each.halts and each.subject != SIGNING:
            raise errors.HistoryChanged(f"the {each.subject} {each.problem}")
    restored_at, newest = connection.execute(_RESTORED).scalar(), checkpoints.newest(connection)
    if restored_at is None or newest is None or newest.signed_at >= restored_at:
        return
    answered = [each for each in reports if each.witness and each.reached_at and each.reached_at >= restored_at]
    if len(answered) < needed:
        raise errors.HistoryChanged(
            f"the store was restored from a copy, and {len(answered)} of the {needed} witnesses that are needed "
            "have said since that they signed nothing newer"
        )


def _store(connection: Connection, report: Report) -> None:
    values = msgspec.structs.asdict(report)
    insert = dialect.insert(connection, LEDGER_REPORTS).values(values)
    connection.execute(insert.on_conflict_do_update(index_elements=["subject"], set_=values))
    writer.leave_no_work(connection)


_COLUMNS = [LEDGER_REPORTS.c[name] for name in Report.__struct_fields__]
_ALL = select(*_COLUMNS).order_by(LEDGER_REPORTS.c.subject)
_RESTORED = select(func.max(SYSTEM_STATE.c.restored_at))
