"""Creation and revocation of API keys, each with its ledger entry."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from storage.ledger import entries
from storage.repositories import api_keys


def create_key(connection: Connection, key: api_keys.Key, actor: str = "operator") -> None:
    """Store a new key; only its creator has the secret."""
    api_keys.insert(connection, key)
    _append_entry(connection, entries.Kind.KEY_CREATED, key, key.created_at, actor)


def revoke_key(
    connection: Connection, key_id: str, now: datetime, actor: str = "operator"
) -> api_keys.Key | None:
    """Revoke a key at once. Return None for an unknown key; an earlier revocation stays unchanged."""
    if api_keys.revoke(connection, key_id, now):
        key = api_keys.find(connection, key_id)
        assert key is not None
        _append_entry(connection, entries.Kind.KEY_REVOKED, key, now, actor)
    return api_keys.find(connection, key_id)


def _append_entry(
    connection: Connection, kind: entries.Kind, key: api_keys.Key, now: datetime, actor: str
) -> None:
    facts: dict[str, entries.Fact | None] = {"name": key.name, "scopes": list(key.scopes)}
    entries.append(connection, [entries.Entry(kind, now, None, actor, facts)])
