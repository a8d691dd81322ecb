"""The command line: all commands, each imported when it is called or its help is shown."""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys
from typing import Annotated, Any, NamedTuple

import typer
import typer.core
import typer.main

from receiver.cli import lazy_imports
from receiver.cli.remote import profile_option


class Command(NamedTuple):
    """A command: its module below this package, and its line in the list of commands."""

    module: str
    summary: str


COMMANDS = {
    "serve": Command("commands.serve", "Run the server: the API, the public endpoints, the worker."),
    "work": Command("commands.serve", "Run a worker without a server."),
    "sandbox": Command("commands.sandbox", "Imitate Case.dev, faults included, for trying things out."),
    "demo": Command("demo.command", "Show Runledger at work in ten seconds, without a Case.dev key."),
    "open": Command("actions.open_pages", "Open the pages in a browser, signed in by a link that works once."),
    "doctor": Command("doctor.command", "Check this set-up: name what is wrong and what to do."),
    "submit": Command("commands.submit", "Submit a run."),
    "watch": Command("commands.submit", "Adopt a run that was created elsewhere."),
    "cancel": Command("commands.submit", "Cancel a run."),
    "refresh": Command("commands.submit", "Fetch a run again, also one that has ended."),
    "again": Command("actions.change_run", "Run a run again, as a new run that names the first one."),
    "notify": Command("actions.change_run", "Notify your backend of a run's end again"),
    "tag": Command("actions.change_run", "Set and remove tags of a run; the others stay."),
    "review": Command("proof.reviews", "Approve, reject or comment on a run that has ended."),
    "reviews": Command("proof.reviews", "List what was said about a run, newest first."),
    "bulk": Command("actions.bulk", "Do one thing with many runs, or list what was done."),
    "views": Command("actions.views", "List, save and delete views of the list of runs."),
    "login": Command("remote.commands", "Choose a deployed server, on which the commands then work."),
    "logout": Command("remote.commands", "Forget a server, and its key."),
    "profiles": Command("remote.commands", "List the servers that are known, or choose another."),
    "runs": Command("commands.runs", "List runs, newest first."),
    "stats": Command("commands.runs", "Sum up runs: how many, what they cost, how long they took."),
    "deliveries": Command("commands.runs", "List requests to the public endpoints, newest first."),
    "show": Command("commands.runs", "Show one run with its prompt and its result."),
    "steps": Command("commands.runs", "List what the agent thought and did, step by step."),
    "timeline": Command("commands.runs", "List what happened to a run, oldest first."),
    "document": Command("commands.runs", "Print the upstream's answer, byte for byte."),
    "sql": Command("commands.sql", "Read the store with SQL of your own."),
    "export": Command("commands.export", "Write runs into a file, oldest first."),
    "import": Command("commands.export", "Read runs back from JSON Lines."),
    "backfill": Command("commands.backfill", "Store the finished runs that Case.dev has from before."),
    "sweep": Command("commands.migrate", "Ask the upstream about all open runs now."),
    "migrate": Command("commands.migrate", "Bring the database to the schema of this release."),
    "erase": Command("proof.erase", "Erase the content of runs, for good; every proof stays valid."),
    "retention": Command("proof.retention", "Show for each rule of RUNLEDGER_RETENTION what it would erase."),
    "prune": Command("commands.prune", "Remove the content of old runs; measures and ledger stay."),
    "backup": Command("commands.backup", "Copy the whole store into a file, beside a running server."),
    "restore": Command("commands.backup", "Replace the store with a copy, and mark it as restored."),
    "restored": Command("commands.backup", "Mark a store as restored from an older copy."),
    "move": Command("commands.migrate", "Move the store from SQLite to PostgreSQL."),
    "jobs": Command("commands.jobs", "List the work that is under way, or try jobs again."),
    "keys": Command("commands.keys", "Make, list and revoke API keys."),
    "receipt": Command("proof.receipt", "Print the proofs of a run's entries, or write them for other tools."),
    "hold": Command("proof.hold", "Legal holds: what they cover is not removed."),
    "evidence": Command("proof.evidence", "Write a ZIP that proves what happened to runs, for anybody to check."),
    "ledger": Command("proof.ledger", "Keys, checkpoints and proofs of the ledger."),
    "rollups": Command("commands.rollups", "Check and rebuild the sums over ended runs."),
    "search": Command("commands.search", "Check and rebuild the full-text index."),
    "webhooks": Command("commands.webhooks", "Register for Case.dev's signed events, and manage them."),
}


class LazyGroup(typer.core.TyperGroup):
    """All commands. Each is only its name and its summary until it is called or its help is shown."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, command in COMMANDS.items():
            self.add_command(typer.core.TyperCommand(name, help=command.summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load(name), rest


def _import_log() -> None:
    """Import structlog as if Rich were not installed.

    It imports all of Rich, to colour tracebacks that no log line of ours has.
    """
    sys.modules["rich"] = None  # type: ignore[assignment]
    importlib.import_module("structlog")
    del sys.modules["rich"]


def load(name: str) -> Any:
    """Import a command, or a group of commands, by its name."""
    gc.disable()  # what an import makes stays, so collections only cost time: a fifth of it
    try:
        _import_log()
        module = importlib.import_module(f"receiver.cli.{COMMANDS[name].module}")
        gc.freeze()  # later collections need not look at it either
    finally:
        gc.enable()
    event_loop = importlib.import_module("receiver.cli.event_loop")  # the list of commands does not need it
    group = typer.main.get_group(module.app)
    group.callback = group.callback and event_loop.executed(group.callback, name)
    for word, each in group.commands.items():
        is_own = word in COMMANDS and COMMANDS[word].module == COMMANDS[name].module
        full = word if is_own else f"{name} {word}"
        each.callback = event_loop.executed(each.callback, full)
    return group.commands.get(name, group)


app = typer.Typer(
    cls=LazyGroup,
    name="runledger",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help takes half the time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        metadata = importlib.import_module("importlib.metadata")
        print(f"runledger {metadata.version('runledger')}")
        raise typer.Exit


@app.callback()
def runledger(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A server of `runledger login`; local is this machine."),
    ] = None,
) -> None:
    """Submit long agent runs to Case.dev, and never lose a result.

    Commands work on the database of the server, running or not: give them its
    settings, such as RUNLEDGER_DATA_DIR, or start them where .env is. From
    elsewhere they ask a server: see `runledger login`, or set RUNLEDGER_URL and
    RUNLEDGER_API_KEY.

    \b
    Examples:
      runledger demo        see it at work, without a Case.dev key
      runledger serve       the server
      runledger submit --agent agent_1 --prompt "Summarise the lease."
      runledger runs --status failed --created '>-7d'
    """
    profile_option.GIVEN.set(profile)


def _shows_help() -> bool:
    """Return whether this process shows a help text or completes a line, and runs no command."""
    completes = "_RUNLEDGER_COMPLETE" in os.environ  # noqa: TID251 - how Click tells a program that it completes a line
    return completes or bool({"-h", "--help"} & set(sys.argv[1:]))


def main() -> None:
    """Run one command and exit: 0 done, 1 it failed, 2 wrong usage."""
    if _shows_help():
        lazy_imports.install()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # the terminal's encoding may lack a character
            stream.reconfigure(errors="replace")
    sys.exit(app(prog_name="runledger"))
