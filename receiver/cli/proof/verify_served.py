"""What `runledger ledger verify --url` asks of a server: its checkpoint and its tiles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from receiver import settings
from receiver.cli.errors import USAGE, CommandError
from receiver.verifier import public_forms
from receiver.verifier.served import comparison, fetching
from receiver.verifier.store import breaks, signatures, verification
from storage.engine import urls

#: The most bytes of a file with an API key that are read.
_MOST_KEY = 1000


@dataclass(frozen=True)
class Served:
    """A server, and the checkpoint that it served before the store was read; None where that is not trusted."""

    client: fetching.Client
    checkpoint: public_forms.Checkpoint | None
    report: breaks.Report

    def compare(
        self,
        connection: Any = None,
        kept: Sequence[public_forms.Checkpoint] = (),
        progress: comparison.Progress | None = None,
    ) -> None:
        """Compare what is served with the store behind a connection, or with itself and with kept checkpoints."""
        if self.checkpoint is None:
            self.report.unchecked.append("what is served: its checkpoint is not trusted")
            return
        size = self.checkpoint.size
        bodies = None if connection is None else verification.bodies(connection, size)
        if connection is None:
            self.report.size = self.report.signed_size = size
            self.report.unchecked.append("the rows that entries are about: there is no store here")
        try:
            comparison.compare(
                self.client.fetch, self.checkpoint, self.report, bodies=bodies, kept=kept, progress=progress
            )
        except fetching.NotServed as refused:
            raise CommandError(str(refused)) from None


def asked(url: str, key: Path | None, trusted: signatures.Trusted, report: breaks.Report) -> Served:
    """Fetch the checkpoint of a server. Raises CommandError where it serves none."""
    try:
        client = fetching.Client(url, None if key is None else _key(key))
        return Served(client, comparison.checkpoint(client.fetch, trusted, report), report)
    except fetching.NotServed as refused:
        raise CommandError(str(refused)) from None


def is_without_store(given: settings.Settings) -> bool:
    """Return whether there is no database: then what is served is checked alone."""
    file = urls.file_path(given.url)
    return file is not None and not os.path.exists(file)


def _key(file: Path) -> str:
    with file.open("rb") as opened:
        return opened.read(_MOST_KEY).decode().strip()


def demand_policy(policy: Path | None) -> None:
    """Raise CommandError without a policy: the keys of settings that are made here would be trusted."""
    if policy is None:
        raise CommandError("there is no store here: name the keys to trust, in a policy (--policy)", USAGE)
