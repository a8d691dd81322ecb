"""Confirmation of what cannot be undone."""

from __future__ import annotations

import sys

import typer

from receiver.cli import event_loop
from receiver.cli.errors import USAGE, CommandError


def demand_yes(summary: str) -> None:
    """Show what is about to be removed and ask. Raise CommandError unless the answer is yes."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise CommandError(
            "there is no terminal to ask on: add --yes, or --dry-run to see what would be removed", USAGE
        )
    print(summary, file=sys.stderr)
    if not is_yes("Remove it for good?"):
        raise CommandError("nothing was removed")


def is_yes(question: str) -> bool:
    """Ask a question on standard error, and return whether the answer is yes."""
    with event_loop.interruptible():
        return typer.confirm(question, err=True)
