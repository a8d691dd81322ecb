"""Creation and revocation of API keys, their sessions and sign-in links, each with its ledger entry."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from storage.engine.column_types import instant_text
from storage.ledger import entries
from storage.repositories import api_keys

#: How long an expired link is kept, so that its page can show why it does not work.
LINK_KEPT = timedelta(days=1)


def create_key(connection: Connection, key: api_keys.Key, actor: str = "operator") -> None:
    """Store a new key; only its creator has the secret."""
    api_keys.insert(connection, key)
    _append_entry(connection, entries.Kind.KEY_CREATED, key, key.created_at, actor)


def revoke_key(connection: Connection, key_id: str, now: datetime, actor: str = "operator") -> api_keys.Key | None:
    """Revoke a key at once. Return None for an unknown key; an earlier revocation stays unchanged."""
    if api_keys.revoke(connection, key_id, now):
        key = api_keys.find(connection, key_id)
        assert key is not None
        _append_entry(connection, entries.Kind.KEY_REVOKED, key, now, actor)
    return api_keys.find(connection, key_id)


def end_sessions(connection: Connection, key_id: str, now: datetime, actor: str) -> api_keys.Key | None:
    """End all sessions of a key that began until `now`. Return None for a key that is unknown or was revoked."""
    if not api_keys.end_sessions(connection, key_id, now):
        return None
    key = api_keys.find(connection, key_id)
    assert key is not None
    ended = entries.Entry(entries.Kind.KEY_SIGNED_OUT, now, None, actor, {"name": key.name})
    entries.append(connection, [ended])
    return key


def create_link(connection: Connection, key: api_keys.Key, link: api_keys.SignInLink) -> None:
    """Store a link that signs a browser in once, as this key; only its creator has the token."""
    api_keys.delete_links(connection, link.created_at - LINK_KEPT)
    api_keys.insert_link(connection, link)
    facts: dict[str, entries.Fact | None] = {"name": key.name, "expiresAt": instant_text(link.expires_at)}
    made = entries.Entry(entries.Kind.KEY_LINKED, link.created_at, None, "operator", facts)
    entries.append(connection, [made])


def use_link(connection: Connection, token_sha256: str, now: datetime) -> api_keys.Key | None:
    """Use a link up and return its key. Return None for one that is unknown, used or expired, or a revoked key."""
    if not api_keys.use_link(connection, token_sha256, now):
        return None
    link = api_keys.find_link(connection, token_sha256)
    key = link and api_keys.find(connection, link.key_id)
    return key if key and key.revoked_at is None else None


def _append_entry(
    connection: Connection, kind: entries.Kind, key: api_keys.Key, now: datetime, actor: str
) -> None:
    facts: dict[str, entries.Fact | None] = {"name": key.name, "scopes": list(key.scopes)}
    entries.append(connection, [entries.Entry(kind, now, None, actor, facts)])
