"""What is wrong with the signatures of witnesses in a store is named."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, text

from receiver.verifier.store import breaks
from storage.engine.database import Database
from storage.ledger import checkpoints, witnessing
from tests import life
from tests.tamper import opened, rebuilding, stores
from tests.witness import Key

pytestmark = pytest.mark.anyio


async def signed(database: Database) -> int:
    """Make a store with a checkpoint that the witness has signed; return its size."""
    await life.settled_run(database)
    await stores.sign(database, life.at(1))
    newest = await database.read(checkpoints.newest)
    assert newest is not None
    return newest.size


def _execute(connection: Connection, sql: str, values: dict[str, str]) -> None:
    connection.execute(text(sql), values)


def found(url: str) -> list[tuple[str, int | None, str | None]]:
    return [(each.code.value, each.number, each.table) for each in opened.verified(url).breaks]


async def test_a_right_one_is_counted(database: Database, database_url: str) -> None:
    await signed(database)
    report = opened.verified(database_url)
    assert (report.is_ok, report.checked["cosignatures"], report.unchecked) == (True, 1, [])


async def test_a_wrong_one_is_named_with_its_checkpoint(database: Database, database_url: str) -> None:
    size = await signed(database)
    line = opened.WITNESS.line("another text\n", 1)
    await database.write(_execute, "UPDATE ledger_cosignatures SET line = :line", {"line": line})
    named = [("signature_wrong", size, "ledger_cosignatures"), ("row_missing", size, "ledger_cosignatures")]
    assert found(database_url) == named


async def test_one_of_an_unknown_witness_is_named_and_counts_for_no_quorum(
    database: Database, database_url: str
) -> None:
    size = await signed(database)
    other: Key = rebuilding.OTHER_WITNESS
    sql = "UPDATE ledger_cosignatures SET witness = :witness, line = :line"
    await database.write(_execute, sql, {"witness": other.public.title, "line": other.line("any text\n", 1)})
    report = opened.verified(database_url)
    assert [(each.code, each.number) for each in report.breaks] == [(breaks.Code.ROW_MISSING, size)]
    assert report.unchecked == [
        f"1 signature of witnesses that the policy does not name: {other.public.title}",
    ]


async def test_one_that_the_quorum_had_and_is_gone_is_named(database: Database, database_url: str) -> None:
    size = await signed(database)
    await database.write(_execute, "DELETE FROM ledger_cosignatures", {})
    assert found(database_url) == [("row_missing", size, "ledger_cosignatures")]


async def test_a_quorum_that_never_signed_is_no_break_and_is_said(database: Database, database_url: str) -> None:
    await signed(database)
    await database.write(_execute, "DELETE FROM ledger_cosignatures", {})
    await database.write(witnessing.update_quorum, opened.SIGNER.name, [opened.WITNESS.public.title], 1, life.NOW)
    report = opened.verified(database_url)
    assert (report.is_ok, report.unchecked) == (
        True,
        ["the quorum one, which has signed no checkpoint of the store"],
    )


async def test_one_under_another_name_is_named(database: Database, database_url: str) -> None:
    size = await signed(database)
    await database.write(_execute, "UPDATE ledger_cosignatures SET witness = 'witness.example/two'", {})
    assert found(database_url) == [("row_changed", size, "ledger_cosignatures")]
