"""Rows that are inserted together are those that were given, however many they are."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, exc, select

from storage import errors
from storage.engine import bulk_insert, sqlite_driver
from storage.engine.database import Database
from storage.tables.integrations import API_KEYS
from tests import life

pytestmark = pytest.mark.anyio


def keys(count: int) -> list[bulk_insert.Row]:
    text = "'\"\\ é\U0001f600\n"
    rows = [{"id": f"{number:04}", "name": text, "scopes": [text, None]} for number in range(count)]
    return [{**row, "secret_sha256": "", "created_at": life.NOW, "revoked_at": None} for row in rows]


def stored(connection: Connection) -> list[bulk_insert.Row]:
    columns = [API_KEYS.c[name] for name in keys(1)[0]]
    return [dict(row._mapping) for row in connection.execute(select(*columns).order_by(API_KEYS.c.id))]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 64, 100])
async def test_any_number_of_rows_is_inserted(database: Database, count: int) -> None:
    await database.write(bulk_insert.insert, API_KEYS, keys(count))
    assert await database.read(stored) == keys(count)


async def test_more_values_than_a_statement_takes_are_inserted_too(database: Database) -> None:
    count = sqlite_driver.MAX_VALUES // 3
    await database.write(bulk_insert.insert, API_KEYS, keys(count))
    assert len(await database.read(stored)) == count


async def test_a_conflict_inserts_none_of_them(database: Database) -> None:
    await database.write(bulk_insert.insert, API_KEYS, keys(1))
    with pytest.raises(exc.IntegrityError):
        await database.write(bulk_insert.insert, API_KEYS, keys(3))
    assert await database.read(stored) == keys(1)


@pytest.mark.parametrize("text", ["\x00", "\ud800"])
async def test_a_text_that_postgresql_cannot_store_is_an_error_of_the_value(served: Database, text: str) -> None:
    row = {**keys(1)[0], "name": text}
    with pytest.raises((errors.UnstorableValue, UnicodeEncodeError)):
        await served.write(bulk_insert.insert, API_KEYS, [row])
