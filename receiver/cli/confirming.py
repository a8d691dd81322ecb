"""Having confirmed what cannot be undone."""

from __future__ import annotations

import sys

import typer

from receiver.cli import sentences


def demand_yes(found: str) -> None:
    """Has it confirmed by somebody who is shown what it is. Raises Complaint."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise sentences.Complaint(
            "nobody is here to be asked: add --yes, or --dry-run to see what it would be", sentences.USAGE
        )
    print(found, file=sys.stderr)
    if not typer.confirm("Remove it for good?", err=True):
        raise sentences.Complaint("nothing was removed")
