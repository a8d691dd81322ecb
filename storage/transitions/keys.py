"""Keys are made and revoked, and the ledger says so."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from storage import keys, ledger


def create_key(connection: Connection, key: keys.Key) -> None:
    """A new key; its secret is known to who made it alone."""
    keys.insert(connection, key)
    _tell(connection, ledger.Kind.KEY_CREATED, key, key.created_at)


def revoke_key(connection: Connection, key_id: str, now: datetime) -> keys.Key | None:
    """Revokes a key at once. None where there is none; one that was revoked before stays as it was."""
    if keys.revoke(connection, key_id, now):
        key = keys.find(connection, key_id)
        assert key is not None
        _tell(connection, ledger.Kind.KEY_REVOKED, key, now)
    return keys.find(connection, key_id)


def _tell(connection: Connection, kind: ledger.Kind, key: keys.Key, now: datetime) -> None:
    facts: dict[str, ledger.Fact | None] = {"name": key.name, "scopes": list(key.scopes)}
    ledger.append(connection, [ledger.Entry(kind, now, None, "operator", facts)])
