"""The command that executes the operator's own SQL, read-only."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

from receiver import json_lines, settings
from receiver.api import sql as handlers
from receiver.cli import api_calls, event_loop, open_database, target
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.parameters import argument, flag, option
from receiver.cli.remote import profiles
from receiver.cli.render import format as render_format
from receiver.cli.render import table, terminal
from receiver.export import csv_format
from receiver.schemas import bodies, responses
from storage.user_sql import sql_runner, statements
from storage.user_sql.statements import Answer, Value

app = event_loop.commands()


@app.command()
async def sql(
    statement: Annotated[str, argument("STATEMENT", "SELECT …; - for standard input.")],
    parameter: Annotated[list[str] | None, option("TEXT", "The values of $1, $2, …", "--parameter", "-p")] = None,
    limit: Annotated[int, option("N", "The most rows.", min=1, max=10_000)] = 1000,
    as_csv: Annotated[bool, flag("--csv", "For spreadsheets.")] = False,
    bom: Annotated[bool, flag("--bom", "With --csv: a byte-order mark, for Excel.")] = False,
    as_json: Annotated[
        bool, flag("--json", "For programs: one JSON object a line, by the names of the columns.")
    ] = False,
) -> None:
    """Read the store with SQL of your own.

    A statement can change nothing, and has 5 seconds. The tables are those of
    docs/reference/tables.md without keys and secrets; hidden columns are null.
    On PostgreSQL it runs as the role that RUNLEDGER_SQL_DATABASE_URL names.

    \b
    Examples:
      runledger sql 'SELECT status, count(*) FROM runs GROUP BY status'
      runledger sql 'SELECT id FROM runs WHERE agent_id = $1' -p agent_1 --json
      runledger sql - --csv < report.sql > report.csv
    """
    if as_csv and as_json:
        raise CommandError("--csv and --json exclude each other", USAGE)
    if bom and not as_csv:
        raise CommandError("--bom needs --csv", USAGE)
    with event_loop.interruptible():
        text = sys.stdin.read() if statement == "-" else statement
    answer = await _answer(statements.Statement(text, tuple(parameter or ()), limit))
    if as_csv:
        _print_csv(answer, bom=bom)
    elif as_json:
        _print_json(answer)
    else:
        _print_table(answer)
    if answer.is_truncated:
        shown = f"the first {len(answer.rows)} rows" if answer.rows else "no row: the first is too large"
        print(f"There are more; this is {shown}.", file=sys.stderr)


async def _answer(statement: statements.Statement) -> Answer:
    if profiles.chosen() is not None:
        return await _served(statement)
    given = settings.load()
    if given.sql_database_url:
        return sql_runner.run(given.sql_url, statement)
    if not given.is_embedded:
        raise CommandError(
            "RUNLEDGER_SQL_DATABASE_URL is empty: on PostgreSQL it names a role that can only read; "
            "deploy/sql-role.sql makes one"
        )
    async with open_database.existing(given, allow_moved=True):
        return sql_runner.run(given.sql_url, statement)


async def _served(statement: statements.Statement) -> Answer:
    """Return the answer of the server that is chosen."""
    content = {"sql": statement.text, "parameters": list(statement.parameters), "limit": statement.rows}
    async with target.opened() as store:
        body = api_calls.body(bodies.SqlStatement, content)
        found = await api_calls.ask(store, handlers.ask_sql, responses.SqlResult, body=body)
    return Answer(found.columns, found.rows, found.truncated)


def _print_csv(answer: Answer, *, bom: bool) -> None:
    sys.stdout.write("\ufeff" if bom else "")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerows([csv_format.cell(value) for value in row] for row in (answer.columns, *answer.rows))


def _print_json(answer: Answer) -> None:
    names = _distinct(answer.columns)
    for row in answer.rows:
        print(json_lines.one_line(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False)))


def _distinct(columns: Sequence[str]) -> list[str]:
    """Return the names of the columns, repeated ones with a number behind."""
    names: list[str] = []
    for column in columns:
        name, number = column, 1
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names.append(name)
    return names


def _print_table(answer: Answer) -> None:
    if not answer.rows:
        print("No rows.")
        return
    values = zip(*answer.rows, strict=True)
    numeric = [all(isinstance(value, int | float | None) for value in column) for column in values]
    columns = [
        table.Column(render_format.line(name), _cell(at), rank=at, right=is_number, flexible=not is_number)
        for at, (name, is_number) in enumerate(zip(answer.columns, numeric, strict=True))
    ]
    out = terminal.console()
    made = table.made(columns, answer.rows, out.width)
    out.print(made)
    if hidden := len(columns) - len(made.columns):
        print(f"{hidden} more columns have no room here: name fewer of them, or use --json.", file=sys.stderr)


def _cell(at: int) -> Callable[[Sequence[Value]], table.Cell]:
    return lambda row: None if row[at] is None else str(row[at])
