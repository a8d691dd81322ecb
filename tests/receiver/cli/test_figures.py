"""Figures for people."""

from __future__ import annotations

import doctest

from rich.console import Console

from receiver.cli import figures, tables


def test_the_examples_hold() -> None:
    assert doctest.testmod(figures).failed == 0


def test_a_line_is_one_line() -> None:
    assert figures.line("a\n  b\tc\r\nd") == "a b c d"


def test_a_table_drops_what_matters_least_first() -> None:
    columns = (tables.Column("id"), tables.Column("why", 1), tables.Column("where", 2))
    shown = {width: _heads(columns, [("x" * 10, "y" * 10, "z" * 10)], width) for width in (40, 30, 12, 5)}
    assert shown == {40: ["id", "why", "where"], 30: ["id", "why"], 12: ["id"], 5: ["id"]}


def _heads(columns: tuple[tables.Column, ...], rows: list[tuple[str, str, str]], width: int) -> list[object]:
    return [column.header for column in tables.made(columns, rows, width).columns]


def test_a_flexible_column_takes_what_is_left_and_is_cut() -> None:
    columns = (tables.Column("id"), tables.Column("text", 1, flexible=True))
    table = tables.made(columns, [("x" * 10, "word " * 40)], 60)
    out = Console(width=60, no_color=True)
    with out.capture() as captured:
        out.print(table)
    lines = captured.get().splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert lines[-1].endswith("…")
