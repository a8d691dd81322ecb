"""Statements about API keys. The secret of a key is stored nowhere, only its SHA-256."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from storage.tables import API_KEYS


@dataclass(frozen=True, slots=True)
class Key:
    """A row of `api_keys`."""

    id: str
    name: str
    scopes: tuple[str, ...]
    secret_sha256: str
    created_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


def insert(connection: Connection, key: Key) -> None:
    """A new key."""
    row = {each.name: getattr(key, each.name) for each in fields(key)}
    connection.execute(API_KEYS.insert(), row | {"scopes": list(key.scopes)})


def find(connection: Connection, key_id: str) -> Key | None:
    """The key of that id, revoked or not."""
    row = connection.execute(_BY_ID, {"id": key_id}).first()
    return None if row is None else _key(row)


def all_of_them(connection: Connection) -> list[Key]:
    """Every key, oldest first."""
    return [_key(row) for row in connection.execute(_ALL.order_by(API_KEYS.c.created_at, API_KEYS.c.id))]


def used(connection: Connection, key_id: str, now: datetime) -> None:
    """The key was used just now."""
    connection.execute(update(API_KEYS).where(API_KEYS.c.id == key_id).values(last_used_at=now))


def revoke(connection: Connection, key_id: str, now: datetime) -> bool:
    """Revokes a key; False where it is unknown or was revoked before."""
    live = (API_KEYS.c.id == key_id, API_KEYS.c.revoked_at.is_(None))
    return connection.execute(update(API_KEYS).where(*live).values(revoked_at=now)).rowcount > 0


def _key(row: Any) -> Key:
    values = row._asdict()
    return Key(**values | {"scopes": tuple(values["scopes"])})


_ALL = select(*(API_KEYS.c[each.name] for each in fields(Key)))
_BY_ID = _ALL.where(API_KEYS.c.id == bindparam("id"))
