"""What is changed behind the ledger's back is found, and named."""

from __future__ import annotations

import pytest

from storage.engine.database import Database
from tests.tamper import editing, mutations, opened, session, stores

pytestmark = pytest.mark.anyio


async def test_every_covered_column_that_is_changed_is_named(database: Database, database_url: str) -> None:
    await stores.fill(database)
    outcome = session.Outcome("any")
    with opened.connection(database_url, readonly=False) as connection:
        editor = editing.Editor(connection, 1)
        for table, column in mutations.COLUMNS:
            change = mutations.column_changed(table, column)
            before = outcome.made.total()
            for _ in range(20):  # a constraint refuses some values
                session.attempt(outcome, f"{table}.{column}", change, editor, "a column")
                if outcome.made.total() > before:
                    break
            assert outcome.made.total() > before, f"{table}.{column} was never changed"
    assert outcome.missed + outcome.misnamed == []


async def test_every_other_kind_of_break_is_named(database: Database, database_url: str) -> None:
    await stores.fill(database)
    outcome = session.Outcome("any")
    kinds = [
        (name, kind) for name, found in mutations.KINDS.items() for kind in found if name != "covered columns"
    ]
    with opened.connection(database_url, readonly=False) as connection:
        editor = editing.Editor(connection, 2)
        for name, kind in kinds * 4:
            session.attempt(outcome, name, kind, editor, name)
    assert outcome.missed + outcome.misnamed == []
    assert outcome.made.keys() == mutations.KINDS.keys() - {"covered columns"}


async def test_a_run_without_entries_that_seems_to_have_ended_is_named_as_added(
    database: Database, database_url: str
) -> None:
    await stores.fill(database)
    outcome, change = session.Outcome("any"), mutations.column_changed("runs", "status", mutations.UNFETCHED)
    with opened.connection(database_url, readonly=False) as connection:
        session.attempt(outcome, "covered columns", change, editing.Editor(connection, 3), "the status")
    assert outcome.found["covered columns"] == 1, outcome.misnamed
    assert outcome.codes["covered columns"].keys() == {"row_added"}
