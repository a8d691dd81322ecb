"""Saved views: questions about runs that people save under a name, for themselves or for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import Connection, delete, func, or_, select, update

from storage import bounds, errors
from storage.engine import dialect
from storage.ledger import entries
from storage.tables import declare
from storage.tables.views import SAVED_VIEWS


@dataclass(frozen=True, slots=True)
class View:
    """A row of `saved_views`. `question` is the query string of the list; its `columns` where None are named."""

    id: str
    owner: str
    name: str
    is_shared: bool
    question: str
    columns: Sequence[str] | None
    created_at: datetime
    updated_at: datetime


def visible_to(connection: Connection, owner: str) -> list[View]:
    """Return the views of an owner and the shared ones of others, by name."""
    shown = or_(SAVED_VIEWS.c.owner == owner, SAVED_VIEWS.c.is_shared)
    ordered = _ALL.where(shown).order_by(SAVED_VIEWS.c.name, SAVED_VIEWS.c.id)
    return [View(*row) for row in connection.execute(ordered)]


def find(connection: Connection, view_id: str) -> View | None:
    """Return the view with this id, of any owner."""
    row = connection.execute(_ALL.where(SAVED_VIEWS.c.id == view_id)).first()
    return None if row is None else View(*row)


def save(connection: Connection, view: View, actor: str) -> View:
    """Save a new view. Raises NameTaken, TooManyViews."""
    dialect.acquire_locks(connection, ["saved_views"])
    if known := find(connection, view.id):  # an earlier try of this call
        return known
    owned = select(func.count()).where(SAVED_VIEWS.c.owner == view.owner)
    if connection.execute(owned).scalar_one() >= bounds.VIEWS:
        raise errors.TooManyViews(f"{view.owner} has {bounds.VIEWS} views: delete one first")
    _require_free(connection, view)
    connection.execute(SAVED_VIEWS.insert(), declare.row(SAVED_VIEWS, view))
    _record(connection, entries.Kind.VIEW_SAVED, view, actor, view.created_at)
    return view


def replace(connection: Connection, view: View, actor: str) -> View | None:
    """Put a view in place of the one with its id, whose owner stays. Return None where there is none."""
    dialect.acquire_locks(connection, ["saved_views"])
    known = find(connection, view.id)
    if known is None:
        return None
    _require_free(connection, view)
    changed = {name: getattr(view, name) for name in ("name", "is_shared", "question", "columns", "updated_at")}
    connection.execute(update(SAVED_VIEWS).where(SAVED_VIEWS.c.id == view.id).values(changed))
    _record(connection, entries.Kind.VIEW_SAVED, view, actor, view.updated_at)
    return find(connection, view.id)


def remove(connection: Connection, view_id: str, actor: str, now: datetime) -> None:
    """Delete a view, if it is there."""
    known = find(connection, view_id)
    if known is not None:
        connection.execute(delete(SAVED_VIEWS).where(SAVED_VIEWS.c.id == view_id))
        _record(connection, entries.Kind.VIEW_DELETED, known, actor, now)


def _require_free(connection: Connection, view: View) -> None:
    is_same = (SAVED_VIEWS.c.owner == view.owner, SAVED_VIEWS.c.name == view.name, SAVED_VIEWS.c.id != view.id)
    if connection.execute(select(SAVED_VIEWS.c.id).where(*is_same)).first() is not None:
        raise errors.NameTaken(f"{view.owner} has a view of this name already: change that one, or choose another")


def _record(connection: Connection, kind: entries.Kind, view: View, actor: str, now: datetime) -> None:
    facts: dict[str, entries.Fact | None]
    facts = {"viewId": view.id, "owner": view.owner, "isShared": int(view.is_shared)}
    entries.append(connection, [entries.Entry(kind, now, None, actor, facts)])


_ALL = select(*(SAVED_VIEWS.c[each.name] for each in fields(View)))
