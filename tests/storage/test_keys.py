"""Keys of the API."""

from __future__ import annotations

import json

import pytest

from storage import changes, keys, ledger, transitions
from storage.database import Database
from tests import life

pytestmark = pytest.mark.anyio

KEY = keys.Key("k1", "backend", ("submit", "read"), "f" * 64, life.NOW)


async def facts(database: Database) -> list[tuple[str, str, object]]:
    await database.write(ledger.number, 100)
    found = await database.read(changes.after, -1, 100)
    return [(each.kind, each.actor, json.loads(each.body)["facts"]) for each in found]


async def test_a_key_is_found_by_its_id(database: Database) -> None:
    await database.write(transitions.create_key, KEY)
    assert await database.read(keys.find, "k1") == KEY


async def test_an_unknown_key_is_not_found(database: Database) -> None:
    assert await database.read(keys.find, "k1") is None


async def test_the_ledger_tells_who_may_do_what(database: Database) -> None:
    await database.write(transitions.create_key, KEY)
    wanted = ("key.created", "operator", {"name": "backend", "scopes": ["submit", "read"]})
    assert await facts(database) == [wanted]


async def test_a_revoked_key_knows_when(database: Database) -> None:
    await database.write(transitions.create_key, KEY)
    revoked = await database.write(transitions.revoke_key, "k1", life.at(5))
    assert revoked is not None
    assert revoked.revoked_at == life.at(5)


async def test_a_key_is_revoked_once(database: Database) -> None:
    await database.write(transitions.create_key, KEY)
    await database.write(transitions.revoke_key, "k1", life.at(5))
    again = await database.write(transitions.revoke_key, "k1", life.at(9))
    kinds = [kind for kind, _, _ in await facts(database)]
    assert (again and again.revoked_at, kinds) == (life.at(5), ["key.created", "key.revoked"])


async def test_an_unknown_key_cannot_be_revoked(database: Database) -> None:
    assert await database.write(transitions.revoke_key, "k1", life.NOW) is None


async def test_the_last_use_is_kept(database: Database) -> None:
    await database.write(transitions.create_key, KEY)
    await database.write(keys.used, "k1", life.at(7))
    found = await database.read(keys.find, "k1")
    assert found is not None
    assert found.last_used_at == life.at(7)


async def test_all_keys_are_listed_oldest_first(database: Database) -> None:
    for key_id, second in (("b", 2), ("a", 1)):
        key = keys.Key(key_id, "backend", ("read",), "f" * 64, life.at(second))
        await database.write(transitions.create_key, key)
    assert [key.id for key in await database.read(keys.all_of_them)] == ["a", "b"]
