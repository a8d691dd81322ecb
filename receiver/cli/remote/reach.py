"""Which commands work on a deployed server, which need its machine, and which need neither."""

from __future__ import annotations

from enum import Enum

from receiver.cli.errors import USAGE, CommandError
from receiver.cli.remote import profiles


class Reach(Enum):
    """Where a command works."""

    SERVER = "on a server that is chosen, or on this machine's store"
    MACHINE = "on the machine of the server"
    ANYWHERE = "without a store"


#: Commands that open the files or the database of a deployment, or its key for Case.dev, by their full names.
MACHINE = frozenset(
    {
        "serve",
        "work",
        "doctor",
        "export",
        "import",
        "backfill",
        "sweep",
        "migrate",
        "move",
        "erase",
        "evidence",
        "retention",
        "prune",
        "backup",
        "restore",
        "restored",
        "ledger completeness",
        "ledger leaf",
        "ledger prove",
        "ledger verify",
        "rollups verify",
        "rollups rebuild",
        "search status",
        "search rebuild",
        "webhooks register",
        "webhooks rotate",
        "webhooks test",
        "webhooks status",
        "webhooks resume",
        "webhooks remove",
    }
)
#: Commands that open no store.
ANYWHERE = frozenset({"sandbox", "demo", "login", "logout", "profiles"})


def of(command: str) -> Reach:
    """Return where a command works, by its full name."""
    if command in MACHINE:
        return Reach.MACHINE
    return Reach.ANYWHERE if command in ANYWHERE else Reach.SERVER


def demand_here(command: str) -> None:
    """Raise CommandError where a server is chosen, and the command needs the machine of one."""
    if of(command) is Reach.MACHINE and (chosen := profiles.chosen()) is not None:
        raise CommandError(
            f"`runledger {command}` works on the machine of the server alone, and {chosen.url} is chosen: run it "
            "there, or choose this machine's store by `runledger --profile local`",
            USAGE,
        )
