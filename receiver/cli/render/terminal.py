"""Colours, spinners and questions, which appear only on a terminal."""

from __future__ import annotations

import contextlib
import shutil
import sys
from typing import Any

import typer
from rich.console import Console

from receiver.cli import event_loop
from receiver.cli.errors import USAGE, CommandError

#: Columns of a pipe or a file, where COLUMNS is not set.
WIDTH = 120


def console(*, to_stderr: bool = False) -> Console:
    """Return a console on standard output or error. Colours only on a terminal, and not with NO_COLOR."""
    stream = sys.stderr if to_stderr else sys.stdout
    is_terminal = stream.isatty()
    width = None if is_terminal else shutil.get_terminal_size((WIDTH, 25)).columns
    plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False, "soft_wrap": False}
    made = Console(file=stream, width=width, force_terminal=is_terminal, **plain)
    return Console(file=stream, width=width, color_system=None, **plain) if made.no_color else made


def spinner(text: str) -> contextlib.AbstractContextManager[object]:
    """Show a spinner on standard error for a block, where that is a terminal."""
    out = console(to_stderr=True)
    return out.status(text) if out.is_terminal else contextlib.nullcontext()


def demand_yes(summary: str) -> None:
    """Show what is about to be removed and ask. Raise CommandError unless the answer is yes."""
    if not can_ask():
        raise CommandError(
            "there is no terminal to ask on: add --yes, or --dry-run to see what would be removed", USAGE
        )
    print(summary, file=sys.stderr)
    if not is_yes("Remove it for good?"):
        raise CommandError("nothing was removed")


def can_ask() -> bool:
    """Return whether there is a terminal to ask on."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def is_yes(question: str) -> bool:
    """Ask a question on standard error, and return whether the answer is yes."""
    with event_loop.interruptible():
        return typer.confirm(question, err=True)
