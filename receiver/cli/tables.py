"""Tables that fit the terminal: columns that matter less give way, ids stay whole."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from receiver.cli import figures

if TYPE_CHECKING:
    from rich.progress import Progress

#: What a table, a pipe, or a file is formatted for where nobody says how wide it is.
WIDTH = 120
#: Below this a flexible column is not worth having.
LEAST = 28
#: What is left to it where it stays nevertheless, so that ids stay whole.
SCARCELY = 8

STYLES = {
    "completed": "green",
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
    "lost": "yellow",
    "revoked": "yellow",
    "ok": "green",
    "warning": "yellow",
    "fault": "bold red",
}

Cell = str | Text


@dataclass(frozen=True, slots=True)
class Column:
    """`rank` 0 stays; of the others the highest goes first where there is no room. A flexible one is cut, or
    goes on in the next line where it `folds`.

    `least` is how wide it is at least, so that tables that are made one after the other agree.
    """

    name: str
    rank: int = 0
    right: bool = False
    flexible: bool = False
    least: int = 0
    folds: bool = False


def console(*, to_stderr: bool = False) -> Console:
    """Where people read. Colours and the like only on a terminal, and not where NO_COLOR is set."""
    stream = sys.stderr if to_stderr else sys.stdout
    is_terminal = stream.isatty()
    width = None if is_terminal else shutil.get_terminal_size((WIDTH, 25)).columns
    plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False, "soft_wrap": False}
    made = Console(file=stream, width=width, force_terminal=is_terminal, **plain)
    return Console(file=stream, width=width, color_system=None, **plain) if made.no_color else made


def progress(*columns: Any) -> Progress:
    """A bar on stderr, where somebody looks; gone once it is over. Of rich's own columns where none are given."""
    from rich.progress import Progress

    out = console(to_stderr=True)
    return Progress(*columns, console=out, disable=not out.is_terminal, transient=True)


def state(word: str) -> Text:
    """A state, a verdict, a kind: coloured by how it is."""
    return Text(figures.line(word), STYLES.get(word, ""))


def show(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], title: str = "") -> None:
    """Prints a table. Whatever a cell says stays in its one line: it may come from elsewhere."""
    out = console()
    if title:
        out.print(Text(title, "bold"))
    out.print(made(columns, rows, out.width))


def made(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> Table:
    """The table with the columns that `width` has room for."""
    cleaned = [[_cleaned(cell) for cell in row] for row in rows]
    natural = [_natural(column, [row[at] for row in cleaned]) for at, column in enumerate(columns)]
    kept = _fitting(columns, natural, width)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    spare = width - sum(natural[at] + 2 for at in kept if not columns[at].flexible) + 2
    flexible = sum(columns[at].flexible for at in kept)
    least = LEAST if _needed(columns, natural, kept) <= width else SCARCELY
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
    return cell if isinstance(cell, Text) else Text(figures.line(cell))


def _natural(column: Column, cells: Sequence[Text]) -> int:
    return max(len(column.name), column.least, *(cell_len(cell.plain) for cell in cells), 0)


def _fitting(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """The places of the columns that stay."""
    kept = list(range(len(columns)))
    while _needed(columns, natural, kept) > width:
        going = max(kept, key=lambda at: (columns[at].rank, at))
        if columns[going].rank == 0:
            break
        kept.remove(going)
    return kept


def _needed(columns: Sequence[Column], natural: Sequence[int], kept: Sequence[int]) -> int:
    """How wide the table with these columns is at least."""
    sizes = (min(natural[at], LEAST) if columns[at].flexible else natural[at] for at in kept)
    return sum(size + 2 for size in sizes) - 2


def facts(pairs: Sequence[tuple[str, Cell]]) -> Table:
    """Names and values, one pair a line. A value may have several lines, and nothing that steers a terminal."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, value if isinstance(value, Text) else Text(figures.safe(value)))
    return table
