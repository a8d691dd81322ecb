"""Statements about upstream links: which upstream runs are ours, and as what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from storage import dialect, states
from storage.tables import UPSTREAM_LINKS


@dataclass(frozen=True, slots=True)
class Link:
    """An upstream run that is ours."""

    upstream_id: str
    run_id: str
    role: states.Role


def one_by_one(connection: Connection, upstream_ids: Iterable[str]) -> None:
    """Who links these ids and who looks for their links pass one after the other, until their transactions end."""
    dialect.one_by_one(connection, [f"link {upstream_id}" for upstream_id in upstream_ids])


def insert(connection: Connection, link: Link, now: datetime) -> Link:
    """Links an upstream run, unless it is linked already; answers the link that holds."""
    one_by_one(connection, [link.upstream_id])
    columns = UPSTREAM_LINKS.c
    new = dialect.insert(connection, UPSTREAM_LINKS).on_conflict_do_nothing()
    row = {"upstream_id": link.upstream_id, "run_id": link.run_id, "role": link.role.value, "linked_at": now}
    connection.execute(new, row)
    held = select(columns.run_id, columns.role).where(columns.upstream_id == link.upstream_id)
    found = connection.execute(held).one()
    return Link(link.upstream_id, found.run_id, states.Role(found.role))


def orphan(connection: Connection, upstream_id: str) -> None:
    """What was linked as the run is an orphan after all."""
    which = UPSTREAM_LINKS.c.upstream_id == upstream_id
    connection.execute(update(UPSTREAM_LINKS).where(which).values(role=states.Role.ORPHAN.value))


def known(connection: Connection, upstream_ids: Sequence[str]) -> dict[str, str]:
    """The run of ours for each of these upstream ids that is linked."""
    columns = UPSTREAM_LINKS.c
    rows = connection.execute(
        select(columns.upstream_id, columns.run_id).where(columns.upstream_id.in_(upstream_ids))
    )
    return {row.upstream_id: row.run_id for row in rows}


def orphans(connection: Connection, run_id: str) -> list[str]:
    """The orphans of a run that are not cancelled yet."""
    columns = UPSTREAM_LINKS.c
    waiting = (columns.run_id == run_id, columns.role == states.Role.ORPHAN.value, columns.cancelled_at.is_(None))
    return list(connection.execute(select(columns.upstream_id).where(*waiting)).scalars())


def cancelled(connection: Connection, upstream_id: str, now: datetime) -> None:
    """An orphan was cancelled upstream."""
    which = UPSTREAM_LINKS.c.upstream_id == upstream_id
    connection.execute(update(UPSTREAM_LINKS).where(which).values(cancelled_at=now))
