"""What the tasks that sign and publish checkpoints share: they report how it goes, and log each change once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from receiver import telemetry
from storage.engine import database
from storage.ledger import publication

#: The events of a problem and of its end, by the first word of the place; the problem of the first is an error.
EVENTS = {
    "signing": ("ledger_history_changed", "ledger_signing_resumed"),
    "folder": ("ledger_folder_failed", "ledger_folder_written"),
    "witness": ("ledger_witness_failed", "ledger_witness_signed"),
}


class Reporter:
    """Stores how it goes at each place, and logs a problem when it begins, and its end."""

    def __init__(
        self, store: database.Database, telemetry: telemetry.Telemetry, clock: Callable[[], datetime], origin: str
    ) -> None:
        self.store = store
        self.clock = clock
        self.origin = origin
        self._log = telemetry.log
        #: What this process has last stored of each place: its problem, None after a success; and its size.
        self._last: dict[str, str | None] = {}
        self._sizes: dict[str, int | None] = {}

    async def failed(self, subject: str, problem: str, *, halts: bool = False) -> None:
        """Report a problem; one that halts is stored each time, since nothing may be signed without its row."""
        last = self._last.get(subject)
        if last == problem and not halts:
            return
        await self.store.write(publication.failed, subject, self.origin, problem, self.clock(), halts=halts)
        self._last[subject] = problem
        if last is None:
            event, _ = EVENTS[subject.partition(" ")[0]]
            log = self._log.error if subject == publication.SIGNING else self._log.warning
            log(event, place=subject, reason=problem)

    async def reached(self, subject: str, size: int | None = None) -> None:
        """Report that a place has a checkpoint of this size; without a size, only that there is no problem."""
        last = self._last.get(subject, "unknown")
        if last is None and self._sizes.get(subject) == size:
            return
        await self.store.write(publication.reached, subject, self.origin, size, self.clock())
        self._last[subject], self._sizes[subject] = None, size
        if last not in (None, "unknown"):
            self._log.info(EVENTS[subject.partition(" ")[0]][1], place=subject, size=size)
