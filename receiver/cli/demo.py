"""The demo: a backend hands a dozen runs to the real server, and everything that can happen to them happens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from receiver.cli import options

if TYPE_CHECKING:
    from pathlib import Path

VERBS = typer.Typer()


@VERBS.command()
def demo(as_json: options.Json = False) -> None:
    """See all of it at work in ten seconds, without a key.

    A sandbox of Case.dev and the real server run on free ports of this
    machine, and a backend submits a dozen runs. On a terminal both go on until
    Ctrl-C; with --json the runs are printed as they ended, and that is all.
    The data is in RUNLEDGER_DATA_DIR, ./data/demo unless it is set.

    \b
    Example:
      runledger demo
    """
    from receiver.cli import listening, staging

    folder = staging.folder()
    staging.empty(folder)
    listening.run(lambda: _demo(folder, as_json))


async def _demo(folder: Path, as_json: bool) -> None:
    from receiver.cli import listening, rehearsal, report, staging, tables

    out = tables.console()
    stays = out.is_terminal and sys.stdin.isatty() and not as_json
    async with staging.staged(folder) as stage:
        if not as_json:
            print(f"A sandbox of Case.dev listens on {stage.sandbox}, Runledger on {stage.server}.", flush=True)
        played = await rehearsal.play(stage)
        await (report.tell_programs(stage) if as_json else report.tell(stage, played, serving=stays))
        if stays:
            await listening.until_signalled()
            out.print("Stopped; the data stays.")
