"""Statements about upstream links: which upstream runs are ours, in which role, and which runs ids name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select, union_all, update

from storage import states
from storage.engine import dialect, prepared
from storage.engine.membership import is_among
from storage.tables.runs import RUNS, UPSTREAM_LINKS

_LINKS = UPSTREAM_LINKS.c


@dataclass(frozen=True, slots=True)
class Link:
    """An upstream run that is ours."""

    upstream_id: str
    run_id: str
    role: states.Role


class NamedRun(msgspec.Struct, frozen=True):
    """The columns of a run with which a delivery that names it is compared."""

    id: str
    upstream_id: str | None
    status: states.Status

    @property
    def is_terminal(self) -> bool:
        """Return whether the state is final."""
        return self.status in states.TERMINAL


def lock_ids(connection: Connection, upstream_ids: Iterable[str]) -> None:
    """Make transactions that write or look up the links of these ids wait for each other.

    The locks last until the transaction ends.
    """
    dialect.acquire_locks(connection, [f"link {upstream_id}" for upstream_id in upstream_ids])


def insert(connection: Connection, link: Link, now: datetime) -> Link:
    """Link an upstream run unless it is linked already; return the link that exists then."""
    lock_ids(connection, [link.upstream_id])
    new = dialect.insert(connection, UPSTREAM_LINKS).on_conflict_do_nothing()
    row = {"upstream_id": link.upstream_id, "run_id": link.run_id, "role": link.role.value, "linked_at": now}
    connection.execute(new, row)
    current = select(_LINKS.run_id, _LINKS.role).where(_LINKS.upstream_id == link.upstream_id)
    run_id, role = connection.execute(current).one()
    return Link(link.upstream_id, run_id, states.Role(role))


def mark_orphan(connection: Connection, upstream_id: str) -> None:
    """Turn a link to the run into a link to an orphan."""
    _update(connection, upstream_id, {"role": states.Role.ORPHAN.value})


def linked_runs(connection: Connection, upstream_ids: Sequence[str]) -> dict[str, str]:
    """Return our run id for each of these upstream ids that is linked."""
    linked = select(_LINKS.upstream_id, _LINKS.run_id).where(_LINKS.upstream_id.in_(upstream_ids))
    return {row.upstream_id: row.run_id for row in connection.execute(linked)}


def find_named(connection: Connection, either_ids: Sequence[str]) -> dict[str, NamedRun]:
    """Return the runs by the requested ids, ours or the upstream's."""
    found = [(row.named, _named(row)) for row in _NAMED.all(connection, {"ids": either_ids})]
    return dict(found) | {named: run for named, run in found if named == run.id}


def open_orphans(connection: Connection, run_id: str) -> list[str]:
    """Return the upstream ids of a run's orphans that are not cancelled yet."""
    orphans = select(_LINKS.upstream_id).where(_LINKS.run_id == run_id, _LINKS.role == states.Role.ORPHAN.value)
    return list(connection.execute(orphans.where(_LINKS.cancelled_at.is_(None))).scalars())


def mark_cancelled(connection: Connection, upstream_id: str, now: datetime) -> None:
    """Record that an orphan was cancelled upstream."""
    _update(connection, upstream_id, {"cancelled_at": now})


def _named(row: prepared.Row) -> NamedRun:
    return NamedRun(row.id, row.upstream_id, states.read(states.Status, row.status))


def _update(connection: Connection, upstream_id: str, values: dict[str, object]) -> None:
    connection.execute(update(UPSTREAM_LINKS).where(_LINKS.upstream_id == upstream_id).values(values))


_NAMED_COLUMNS = (RUNS.c.id, RUNS.c.upstream_id, RUNS.c.status)
_NAMED = prepared.Prepared(
    lambda _: union_all(
        select(UPSTREAM_LINKS.c.upstream_id.label("named"), *_NAMED_COLUMNS)
        .join(RUNS, RUNS.c.id == UPSTREAM_LINKS.c.run_id)
        .where(is_among(UPSTREAM_LINKS.c.upstream_id, "ids")),
        select(RUNS.c.id.label("named"), *_NAMED_COLUMNS).where(is_among(RUNS.c.id, "ids")),
    )
)
