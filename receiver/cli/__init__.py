"""The command line. A file per group of verbs; whatever is slow to import is imported inside them."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from receiver.cli import (
    backfill,
    copies,
    demo,
    doctor,
    export,
    house,
    jobs,
    keys,
    lists,
    moving,
    one,
    prune,
    rollups,
    search,
    sentences,
    serving,
    sql,
    webhooks,
    wishes,
)

app = typer.Typer(
    cls=sentences.Verbs,
    name="runledger",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help comes twice as fast, and rich comes for tables alone
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verbs in (serving, demo, doctor, wishes, lists, one, sql, export, backfill, house, prune, copies, moving):
    app.add_typer(verbs.VERBS)
app.add_typer(jobs.VERBS, name="jobs")
app.add_typer(keys.VERBS, name="keys")
app.add_typer(rollups.VERBS, name="rollups")
app.add_typer(search.VERBS, name="search")
app.add_typer(webhooks.VERBS, name="webhooks")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        print(f"runledger {metadata.version('runledger')}")
        raise typer.Exit


@app.callback()
def runledger(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Submit long agent runs to Case.dev, and never lose a result.

    Beside a running server the other verbs work on its database; give them
    the same settings, such as RUNLEDGER_DATA_DIR, or start them where .env is.

    \b
    Examples:
      runledger demo        see all of it at work, without a Case.dev key
      runledger serve       the server
      runledger submit --agent agent_1 --prompt "Summarise the lease."
      runledger runs --status failed --created '>-7d'
    """


def main() -> None:
    """Runs one command; exit codes: 0 done, 1 it failed, 2 wrong usage."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the terminal's encoding lacks is no reason to fail
            stream.reconfigure(errors="replace")
    sys.exit(app(prog_name="runledger"))
