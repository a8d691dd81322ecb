"""What people see around a page of deliveries: counts, what is new, and the neighbours of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection, and_, case, func, select

from storage import states
from storage.repositories import deliveries
from storage.tables.deliveries import DELIVERIES


@dataclass(frozen=True, slots=True)
class Counts:
    """How many deliveries of a list there are by verdict and source, and whether all of them were counted."""

    by: Mapping[tuple[states.Verdict, states.Source], int]
    is_all: bool

    def of(self, verdict: states.Verdict | None = None, source: states.Source | None = None) -> int:
        """Return how many have this verdict and this source, where one is given."""
        return sum(n for (one, other), n in self.by.items() if verdict in (None, one) and source in (None, other))


def neighbours(connection: Connection, query: deliveries.Query, seq: int) -> tuple[str | None, str | None]:
    """Return the ids of the next newer and the next older delivery of a list."""
    seqs, chosen = DELIVERIES.c.seq, select(DELIVERIES.c.id).where(*deliveries.which(query)).limit(1)
    newer = connection.execute(chosen.where(seqs > seq).order_by(seqs)).scalar()
    older = connection.execute(chosen.where(seqs < seq).order_by(seqs.desc())).scalar()
    return newer, older


def count_newer(connection: Connection, query: deliveries.Query, seq: int, most: int) -> int:
    """Return how many deliveries of a list are newer than one, up to a bound."""
    newer = select(DELIVERIES.c.seq).where(*deliveries.which(query), DELIVERIES.c.seq > seq).limit(most)
    return connection.execute(select(func.count()).select_from(newer.subquery())).scalar_one()


def count_newest(connection: Connection, query: deliveries.Query, most: int) -> Counts:
    """Count the deliveries of a list of any verdict and source, among the newest `most` of its run and time."""
    wider = replace(query, verdict=None, source=None, remote_addr=None)
    rows = select(DELIVERIES).where(*deliveries.which(wider)).order_by(DELIVERIES.c.seq.desc()).limit(most)
    newest = rows.subquery().c
    is_chosen = and_(True, *([] if query.remote_addr is None else [newest.remote_addr == query.remote_addr]))
    columns = (newest.verdict, newest.source)
    counted = select(*columns, func.count(), func.sum(case((is_chosen, 1), else_=0))).group_by(*columns)
    found = connection.execute(counted).all()
    by = {
        (states.read(states.Verdict, verdict), states.read(states.Source, source)): int(count)
        for verdict, source, _, count in found
    }
    return Counts(by, sum(seen for _, _, seen, _ in found) < most)
