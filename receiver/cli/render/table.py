"""Tables that fit the terminal: less important columns are left out, ids are never cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from receiver.cli.render import format as render_format
from receiver.cli.render import terminal

#: The least cells of a flexible column, and those it gets where ids need the room.
LEAST, SCARCE = 28, 8

STYLES = {
    "completed": "green",
    "approved": "green",
    "finished": "green",
    "accepted": "cyan",
    "queued": "cyan",
    "running": "cyan",
    "duplicate": "dim",
    "failed": "red",
    "failing": "red",
    "dead": "red",
    "refused": "red",
    "rejected": "red",
    "cancelled": "yellow",
    "stopped": "yellow",
    "lost": "yellow",
    "revoked": "yellow",
    "ok": "green",
    "warning": "yellow",
    "fault": "bold red",
}

#: None is shown as a dash; in a table a text is one line without control characters.
Cell = str | Text | None
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """A column: its name, and what it shows of each item.

    One of `rank` 0 is always shown; of the others the highest rank is left out first. A flexible column is cut
    where the width is too small, or wraps to the next line where it `folds`. `least` is its least width in cells,
    so that tables made one after the other have the same columns.
    """

    name: str
    cell: Callable[[T], Cell]
    rank: int = 0
    right: bool = False
    flexible: bool = False
    least: int = 0
    folds: bool = False


def state(word: str) -> Text:
    """Return a state, a verdict or a level in its colour."""
    return Text(render_format.line(word), STYLES.get(word, ""))


class Listing(Generic[T]):
    """The columns of a list, and the sentence that is shown when it is empty."""

    def __init__(self, empty: str, *columns: Column[T]) -> None:
        self._empty, self._columns = empty, columns

    def show(self, items: Sequence[T], title: str = "") -> None:
        if items:
            show(self._columns, items, title)
        else:
            print(self._empty)


def show(columns: Sequence[Column[T]], items: Sequence[T], title: str = "") -> None:
    """Print a table."""
    out = terminal.console()
    if title:
        out.print(Text(title, "bold"))
    out.print(made(columns, items, out.width))


def made(columns: Sequence[Column[T]], items: Sequence[T], width: int) -> Table:
    """Return the table with the columns that fit into `width` cells."""
    cleaned = [[_cleaned(column.cell(item)) for column in columns] for item in items]
    widths = [[cell_len(row[at].plain) for row in cleaned] for at in range(len(columns))]
    natural = [max(len(each.name), each.least, *width) for each, width in zip(columns, widths, strict=True)]
    kept = _fitting(columns, natural, width)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    spare = width - sum(natural[at] + 2 for at in kept if not columns[at].flexible) + 2
    flexible = sum(columns[at].flexible for at in kept)
    least = LEAST if _needed(columns, natural, kept) <= width else SCARCE
    for at in kept:
        column = columns[at]
        room = min(natural[at], max(least, spare // flexible - 2)) if column.flexible else natural[at]
        table.add_column(
            column.name,
            justify="right" if column.right else "left",
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
            width=room,
        )
    for row in cleaned:
        table.add_row(*(row[at] for at in kept))
    return table


def _cleaned(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(render_format.line(cell))


def _fitting(columns: Sequence[Column[Any]], natural: Sequence[int], width: int) -> list[int]:
    kept = list(range(len(columns)))
    while _needed(columns, natural, kept) > width:
        going = max(kept, key=lambda at: (columns[at].rank, at))
        if columns[going].rank == 0:
            break
        kept.remove(going)
    return kept


def _needed(columns: Sequence[Column[Any]], natural: Sequence[int], kept: Sequence[int]) -> int:
    """Return the least width of the table with these columns."""
    sizes = (min(natural[at], LEAST) if columns[at].flexible else natural[at] for at in kept)
    return sum(size + 2 for size in sizes) - 2


def facts(pairs: Sequence[tuple[str, Cell]]) -> Table:
    """Return names and values, a pair a line. A value may have several lines, without control characters."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, value if isinstance(value, Text) else Text(render_format.safe(value)))
    return table
