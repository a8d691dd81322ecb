"""The demo: a backend hands a dozen runs to the real server, and everything that can happen to them happens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pathlib import Path

VERBS = typer.Typer()


@VERBS.command()
def demo() -> None:
    """See all of it at work in ten seconds, without a key.

    A sandbox of Case.dev and the real server run on free ports of this
    machine, and a backend submits a dozen runs. On a terminal both go on until
    Ctrl-C. The data is in RUNLEDGER_DATA_DIR, ./data/demo unless it is set.

    \b
    Example:
      runledger demo
    """
    from receiver.cli import listening, staging

    folder = staging.folder()
    staging.empty(folder)
    listening.run(lambda: _demo(folder))


async def _demo(folder: Path) -> None:
    from receiver.cli import listening, rehearsal, report, staging, tables

    out = tables.console()
    stays = out.is_terminal and sys.stdin.isatty()
    async with staging.staged(folder) as stage:
        print(f"A sandbox of Case.dev listens on {stage.sandbox}, Runledger on {stage.server}.", flush=True)
        played = await rehearsal.play(stage)
        await report.tell(stage, played, serving=stays)
        if stays:
            await listening.until_signalled()
            out.print("Stopped; the data stays.")
