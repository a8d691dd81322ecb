"""Statements about API keys and their sign-in links. A secret or token is stored nowhere, only its SHA-256."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select, update

from storage.engine import prepared
from storage.engine.column_types import instant
from storage.tables import declare
from storage.tables.integrations import API_KEYS, SIGN_IN_LINKS


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
    sessions_ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SignInLink:
    """A row of `sign_in_links`."""

    token_sha256: str
    key_id: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


def insert(connection: Connection, key: Key) -> None:
    """Insert a new key."""
    connection.execute(API_KEYS.insert(), declare.row(API_KEYS, key))


def find(connection: Connection, key_id: str) -> Key | None:
    """Return the key with this id, revoked or not."""
    row = _BY_ID.first(connection, {"id": key_id})
    return None if row is None else _key(row)


def list_all(connection: Connection) -> list[Key]:
    """Return every key, oldest first."""
    return [_key(row) for row in connection.execute(_ALL.order_by(API_KEYS.c.created_at, API_KEYS.c.id))]


def record_use(connection: Connection, key_id: str, now: datetime) -> None:
    """Record that the key was used at `now`."""
    connection.execute(update(API_KEYS).where(API_KEYS.c.id == key_id).values(last_used_at=now))


def revoke(connection: Connection, key_id: str, now: datetime) -> bool:
    """Revoke a key; return False where it is unknown or was revoked before."""
    live = (API_KEYS.c.id == key_id, API_KEYS.c.revoked_at.is_(None))
    return connection.execute(update(API_KEYS).where(*live).values(revoked_at=now)).rowcount > 0


def end_sessions(connection: Connection, key_id: str, now: datetime) -> bool:
    """End the sessions of a key that began until `now`; return False where the key is unknown or was revoked."""
    live = (API_KEYS.c.id == key_id, API_KEYS.c.revoked_at.is_(None))
    return connection.execute(update(API_KEYS).where(*live).values(sessions_ended_at=now)).rowcount > 0


def insert_link(connection: Connection, link: SignInLink) -> None:
    """Insert a new sign-in link."""
    connection.execute(SIGN_IN_LINKS.insert(), declare.row(SIGN_IN_LINKS, link))


def find_link(connection: Connection, token_sha256: str) -> SignInLink | None:
    """Return the sign-in link whose token has this SHA-256, used or not."""
    row = _LINK.first(connection, {"token": token_sha256})
    return None if row is None else SignInLink(*row)


def use_link(connection: Connection, token_sha256: str, now: datetime) -> bool:
    """Mark a sign-in link as used; return False where it is unknown, used or expired."""
    unused = SIGN_IN_LINKS.c.used_at.is_(None), SIGN_IN_LINKS.c.expires_at > instant(now)
    used = update(SIGN_IN_LINKS).where(SIGN_IN_LINKS.c.token_sha256 == token_sha256, *unused)
    return connection.execute(used.values(used_at=now)).rowcount > 0


def delete_links(connection: Connection, before: datetime) -> None:
    """Delete the sign-in links that expired before an instant."""
    connection.execute(delete(SIGN_IN_LINKS).where(SIGN_IN_LINKS.c.expires_at < instant(before)))


def _key(row: prepared.Row) -> Key:
    return Key(**row._asdict() | {"scopes": tuple(row.scopes)})


_ALL = select(*(API_KEYS.c[each.name] for each in fields(Key)))
_BY_ID = prepared.Prepared(lambda _: _ALL.where(API_KEYS.c.id == bindparam("id")))
_LINK = prepared.Prepared(
    lambda _: select(*(SIGN_IN_LINKS.c[each.name] for each in fields(SignInLink))).where(
        SIGN_IN_LINKS.c.token_sha256 == bindparam("token")
    )
)
