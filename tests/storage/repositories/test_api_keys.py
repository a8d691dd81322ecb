"""Keys of the API."""

from __future__ import annotations

import json

import pytest

from storage.engine.database import Database
from storage.ledger import entries
from storage.repositories import api_keys, ledger_changes
from storage.transitions import api_key_changes
from tests import life

pytestmark = pytest.mark.anyio

KEY = api_keys.Key("k1", "backend", ("submit", "read"), "f" * 64, life.NOW)


async def facts(database: Database) -> list[tuple[str, str, object]]:
    await database.write(entries.number, 100)
    found = await database.read(ledger_changes.after, -1, 100)
    return [(each.kind, each.actor, json.loads(each.body)["facts"]) for each in found]


async def test_a_key_is_found_by_its_id(database: Database) -> None:
    await database.write(api_key_changes.create_key, KEY)
    assert await database.read(api_keys.find, "k1") == KEY


async def test_an_unknown_key_is_not_found(database: Database) -> None:
    assert await database.read(api_keys.find, "k1") is None


async def test_the_ledger_records_each_key_with_its_scopes(database: Database) -> None:
    await database.write(api_key_changes.create_key, KEY)
    expected = ("key.created", "operator", {"name": "backend", "scopes": ["submit", "read"]})
    assert await facts(database) == [expected]


async def test_a_revoked_key_has_the_time(database: Database) -> None:
    await database.write(api_key_changes.create_key, KEY)
    revoked = await database.write(api_key_changes.revoke_key, "k1", life.at(5))
    assert revoked is not None
    assert revoked.revoked_at == life.at(5)


async def test_a_key_is_revoked_once(database: Database) -> None:
    await database.write(api_key_changes.create_key, KEY)
    await database.write(api_key_changes.revoke_key, "k1", life.at(5))
    again = await database.write(api_key_changes.revoke_key, "k1", life.at(9))
    kinds = [kind for kind, _, _ in await facts(database)]
    assert (again and again.revoked_at, kinds) == (life.at(5), ["key.created", "key.revoked"])


async def test_an_unknown_key_cannot_be_revoked(database: Database) -> None:
    assert await database.write(api_key_changes.revoke_key, "k1", life.NOW) is None


async def test_the_last_use_is_kept(database: Database) -> None:
    await database.write(api_key_changes.create_key, KEY)
    await database.write(api_keys.record_use, "k1", life.at(7))
    found = await database.read(api_keys.find, "k1")
    assert found is not None
    assert found.last_used_at == life.at(7)


async def test_all_keys_are_listed_oldest_first(database: Database) -> None:
    for key_id, second in (("b", 2), ("a", 1)):
        key = api_keys.Key(key_id, "backend", ("read",), "f" * 64, life.at(second))
        await database.write(api_key_changes.create_key, key)
    assert [key.id for key in await database.read(api_keys.list_all)] == ["a", "b"]


async def test_sessions_end_with_an_entry_and_those_of_a_revoked_key_have_ended(database: Database) -> None:
    await database.write(api_key_changes.create_key, KEY)
    ended = await database.write(api_key_changes.end_sessions, "k1", life.at(1), "key:ops")
    assert (ended and ended.sessions_ended_at) == life.at(1)
    assert (await facts(database))[-1] == ("key.signed_out", "key:ops", {"name": "backend"})
    await database.write(api_key_changes.revoke_key, "k1", life.at(2))
    assert await database.write(api_key_changes.end_sessions, "k1", life.at(3), "key:ops") is None
