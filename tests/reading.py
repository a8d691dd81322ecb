"""A database in which every secret column holds one word, and the address with which user SQL reads it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import JSON, Boolean, Column, Integer, LargeBinary, Table, insert, make_url, update

from storage import errors
from storage.engine import connections, database
from storage.engine.column_types import Instant
from storage.tables import schema
from storage.transitions import receiving
from storage.user_sql import readable_columns, sql_runner, statements
from tests import life, postgres
from tests.laws import role_script

#: The value in every column that user SQL must not read.
SECRET = "s3cr3t-planted"


@dataclass(frozen=True, slots=True)
class Store:
    """`url` is the owner's address, `reader` the address of the role that may only read."""

    url: str
    reader: str

    def ask(self, text: str, *parameters: statements.Value, rows: int = 1000, **bounds: Any) -> statements.Answer:
        """Return the answer to a statement of the reader."""
        return sql_runner.run(
            self.reader, statements.Statement(text, parameters, rows), statements.Bounds(**bounds)
        )

    def outcome(self, text: str, *parameters: statements.Value) -> str:
        """Return the rows that the reader gets, or the text of its error."""
        try:
            return texts(self.ask(text, *parameters, seconds=1.0))
        except (errors.NotReadable, errors.BadStatement, errors.StatementTimeout) as refused:
            return str(refused)


def filled(kind: str, request: pytest.FixtureRequest, folder: Path) -> Store:
    """Make a database of that kind: two runs with all that belongs to a run, a delivery, and secrets."""
    if kind == "sqlite":
        url = f"sqlite:///{shutil.copy(request.getfixturevalue('template'), folder / 'runledger.db')}"
        made = Store(url, url)
    else:
        made = served(request.getfixturevalue("cluster"))
    anyio.run(_live, made.url)
    _plant(made.url)
    return made


def served(cluster: postgres.Cluster) -> Store:
    """Make an empty PostgreSQL database with the role for user SQL."""
    address = make_url(cluster.fresh())
    with cluster.admin(str(address.database)) as connection:
        connection.execute(role_script.role().encode())
    url, reader = (
        each.render_as_string(hide_password=False)
        for each in (address, address.set(username=readable_columns.ROLE, password=None))
    )
    return Store(url, reader)


async def _live(url: str) -> None:
    async with database.Database(url) as store:
        run = await life.settled_run(store, tags={"client": "acme"}, prompt="Review the force majeure clause.")
        await life.accepted(store, agent_id="agent_2", idempotency_key="once")
        await life.indexed(store)
        await store.write(receiving.accept_delivery, life.delivery(run_id=run.id))


def _plant(url: str) -> None:
    """Write the secret into every secret column, and insert a row where a table has none."""
    engine = connections.engine(url, readonly=False, connections=1)
    with engine.begin() as connection:
        for table in schema.metadata.sorted_tables:
            planted = {name: _secret(table.c[name]) for name in secret_columns(table)}
            if planted and connection.execute(update(table).values(planted)).rowcount == 0:
                connection.execute(insert(table).values({**_row(table), **planted}))
    engine.dispose()


def secret_columns(table: Table) -> list[str]:
    """Return the columns that can hold a secret: hidden ones, and all of closed tables."""
    closed = frozenset(each.name for each in table.columns if not each.primary_key)
    hidden = readable_columns.HIDDEN.get(table.name, closed)
    return [
        each.name
        for each in table.columns
        if each.name in hidden and not isinstance(each.type, Instant | Integer | Boolean)
    ]


def _secret(column: Column[Any]) -> Any:
    if isinstance(column.type, LargeBinary):
        return SECRET.encode()
    return {"x": SECRET} if isinstance(column.type, JSON) else SECRET


def _row(table: Table) -> dict[str, Any]:
    """Return a value for each column that requires one."""
    needed = [each for each in table.columns if not each.nullable and each.server_default is None]
    return {each.name: life.NOW if isinstance(each.type, Instant) else _value(each) for each in needed}


def _value(column: Column[Any]) -> Any:
    if isinstance(column.type, Integer):
        return 1
    return b"{}" if isinstance(column.type, LargeBinary) else "x"


def texts(answer: statements.Answer) -> str:
    """Return all that an answer contains as text, with bytes decoded."""
    return json.dumps([answer.columns, answer.rows]) + " ".join(
        bytes.fromhex(cell[2:]).decode("utf-8", "replace")
        for row in answer.rows
        for cell in row
        if isinstance(cell, str) and cell.startswith("\\x")
    )
