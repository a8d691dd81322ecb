"""The tasks that sign the checkpoints of the ledger and publish them: to a folder, and to witnesses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from receiver import telemetry, timeouts
from receiver.crypto import log_keys, log_policy
from receiver.worker import checkpoint_folder, checkpointer, publishing
from storage.engine import database
from storage.ledger import publication

Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Publishing:
    """Who vouches for the ledger, the keys that sign, and the folder for checkpoints, if there is one."""

    policy: log_policy.Policy
    signers: Sequence[log_keys.Signer]
    folder: Path | None
    timing: timeouts.Timing
    telemetry: telemetry.Telemetry

    def tasks(self, store: database.Database, clock: Callable[[], datetime]) -> list[Work]:
        """Return the tasks, which run until they are cancelled."""
        reporter = publishing.Reporter(store, self.telemetry, clock, self.signers[0].name)
        looked: dict[str, asyncio.Event] = {}
        made = [*self._folder(reporter, looked), *self._witnesses(reporter, looked)]
        sign = partial(checkpointer.run, reporter, self.telemetry, self.signers, self.timing.poll)
        return [*made, partial(sign, looked, self.timing.published, self.policy)]

    def _folder(self, reporter: publishing.Reporter, looked: dict[str, asyncio.Event]) -> list[Work]:
        if self.folder is None:
            return []
        looked[publication.FOLDER] = at = asyncio.Event()
        keys = [key for key in self.policy.keys if key.name == self.signers[0].name]
        write = partial(checkpoint_folder.run, self.folder, keys, reporter, self.telemetry, at)
        return [partial(write, self.timing.checkpoint_folder, self.timing.poll)]

    def _witnesses(self, reporter: publishing.Reporter, looked: dict[str, asyncio.Event]) -> list[Work]:
        if not self.policy.witnesses:
            return []
        # Witnesses are rare, and what calls them takes time to import.
        from receiver.worker import witnesses

        asking = [witnesses.Asking(each, self.policy, reporter, self.timing) for each in self.policy.witnesses]
        looked |= {each.subject: each.looked for each in asking}
        return [partial(each.run, self.telemetry) for each in asking]
