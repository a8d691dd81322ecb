"""Anybody's own SQL, to read."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from receiver import escaped
from receiver.cli import loop, sentences

if TYPE_CHECKING:
    from storage.dialect import Answer, Value

VERBS = typer.Typer()


@VERBS.command()
def sql(
    statement: Annotated[
        str, typer.Argument(metavar="STATEMENT", help="SELECT …; - for standard input.", show_default=False)
    ],
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="TEXT", help="What $1, $2, … stand for.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="How many rows at most.")] = 1000,
    as_csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets.")] = False,
    bom: Annotated[bool, typer.Option("--bom", help="With --csv: a byte-order mark, for Excel.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: one JSON object a line, by the names of the columns.")
    ] = False,
) -> None:
    """Read the store with SQL of your own; nothing can be changed by it.

    The tables are those of deploy/SCHEMA.md, but for keys, salts and secrets;
    what is hidden of the others is null. A statement has 5 seconds. On
    PostgreSQL it goes to the role that RUNLEDGER_SQL_DATABASE_URL names.

    \b
    Examples:
      runledger sql 'SELECT status, count(*) FROM runs GROUP BY status'
      runledger sql 'SELECT id FROM runs WHERE agent_id = $1' -p agent_1 --json
      runledger sql - --csv < report.sql > report.csv
    """
    if as_csv and as_json:
        raise sentences.Complaint("--csv and --json exclude each other", sentences.USAGE)
    if bom and not as_csv:
        raise sentences.Complaint("--bom goes with --csv alone", sentences.USAGE)
    text = sys.stdin.read() if statement == "-" else statement
    show = _as_csv if as_csv else _as_json if as_json else _as_table
    answer = loop.run(_ask(text, parameter or [], limit))
    if bom:
        sys.stdout.write("\ufeff")
    show(answer)
    if answer.is_truncated:
        shown = f"the first {len(answer.rows)} rows" if answer.rows else "no row: the first is too large"
        print(f"There are more; this is {shown}.", file=sys.stderr)


async def _ask(text: str, parameters: Sequence[str], limit: int) -> Answer:
    from receiver import settings
    from receiver.cli import opening
    from storage import sql as statements

    given = settings.load()
    asked = statements.Statement(text, tuple(parameters), limit)
    if given.sql_database_url:
        return statements.ask(given.sql_url, asked)
    if not given.is_embedded:
        raise sentences.Complaint(
            "RUNLEDGER_SQL_DATABASE_URL is empty: on PostgreSQL it names a role that can only read; "
            "deploy/sql-role.sql makes one"
        )
    async with opening.existing(given, own=False):
        return statements.ask(given.sql_url, asked)


def _as_json(answer: Answer) -> None:
    names = _distinct(answer.columns)
    for row in answer.rows:
        print(escaped.one_line(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False)))


def _distinct(columns: Sequence[str]) -> list[str]:
    """The names, those that were there before with a number behind."""
    names: list[str] = []
    for column in columns:
        name, number = column, 1
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names.append(name)
    return names


def _as_csv(answer: Answer) -> None:
    from receiver.exporting import sheets

    written = csv.writer(sys.stdout, lineterminator="\n")
    written.writerows([sheets.cell(value) for value in row] for row in (answer.columns, *answer.rows))


def _as_table(answer: Answer) -> None:
    from receiver.cli import figures, tables

    if not answer.rows:
        print("No rows.")
        return
    numbers = [all(_is_number(row[at]) for row in answer.rows) for at in range(len(answer.columns))]
    columns = [
        tables.Column(figures.line(name), rank=at, right=is_number, flexible=not is_number)
        for at, (name, is_number) in enumerate(zip(answer.columns, numbers, strict=True))
    ]
    rows = [[figures.NONE if value is None else str(value) for value in row] for row in answer.rows]
    out = tables.console()
    made = tables.made(columns, rows, out.width)
    out.print(made)
    if left := len(columns) - len(made.columns):
        print(f"{left} more columns have no room here: name fewer of them, or use --json.", file=sys.stderr)


def _is_number(value: Value) -> bool:
    return value is None or isinstance(value, int | float)
