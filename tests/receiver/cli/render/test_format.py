"""Figures for people."""

from __future__ import annotations

from operator import itemgetter

from rich.console import Console

from receiver.cli.render import format as render_format
from receiver.cli.render import table


def test_a_line_is_one_line() -> None:
    assert render_format.line("a\n  b\tc\r\nd") == "a b c d"


Columns = tuple[table.Column[tuple[str, ...]], ...]
ID, TEXT, PLACE = itemgetter(0), itemgetter(1), itemgetter(2)


def test_a_table_drops_what_matters_least_first() -> None:
    columns: Columns = (
        table.Column("id", ID),
        table.Column("why", TEXT, 1),
        table.Column("where", PLACE, 2),
    )
    shown = {width: _heads(columns, [("x" * 10, "y" * 10, "z" * 10)], width) for width in (40, 30, 12, 5)}
    assert shown == {40: ["id", "why", "where"], 30: ["id", "why"], 12: ["id"], 5: ["id"]}


def _heads(columns: Columns, rows: list[tuple[str, ...]], width: int) -> list[object]:
    return [column.header for column in table.made(columns, rows, width).columns]


def test_a_flexible_column_takes_what_is_left_and_is_cut() -> None:
    columns: Columns = (table.Column("id", ID), table.Column("text", TEXT, 1, flexible=True))
    lines = _drawn(columns, ("x" * 10, "word " * 40), 60)
    assert all(len(line) <= 60 for line in lines)
    assert lines[-1].endswith("…")


def test_an_id_stays_whole_beside_a_text_that_has_hardly_any_room() -> None:
    columns: Columns = (table.Column("id", ID), table.Column("text", TEXT, flexible=True))
    lines = _drawn(columns, ("x" * 36, "word " * 40), 50)
    assert all(len(line) <= 50 for line in lines)
    assert "x" * 36 in lines[-1]


def test_a_column_that_folds_loses_nothing() -> None:
    columns: Columns = (
        table.Column("id", ID),
        table.Column("text", TEXT, flexible=True, folds=True),
    )
    lines = _drawn(columns, ("x" * 10, "word " * 40), 60)
    assert all(len(line) <= 60 for line in lines)
    assert sum(line.count("word") for line in lines) == 40


def _drawn(columns: Columns, row: tuple[str, ...], width: int) -> list[str]:
    out = Console(width=width, no_color=True)
    with out.capture() as captured:
        out.print(table.made(columns, [row], width))
    return captured.get().splitlines()
