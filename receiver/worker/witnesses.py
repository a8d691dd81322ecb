"""Has witnesses sign the ledger's checkpoints, each in a task of its own: none delays another, or the signing.

Processes that share a database all ask for the same checkpoint, so whichever comes first is enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from receiver import poll_loop, telemetry, timeouts
from receiver.crypto import log_notes, log_policy
from receiver.outbound import witness_client
from receiver.worker import publishing
from storage.ledger import checkpoints, publication, witnessing

#: Seconds between two looks for something to be signed.
PAUSE = 1.0
#: How often a checkpoint is sent in one try: the first answer may say what the witness has.
SENDS = 3
#: How far the time of a signature may be from ours.
SKEW = timedelta(hours=1)


@dataclass
class Asking:
    """One witness. `looked` is set after the first answer or failure."""

    witness: log_policy.Witness
    policy: log_policy.Policy
    reporter: publishing.Reporter
    timing: timeouts.Timing
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._client = witness_client.Client(self.timing.witness_call)
        self.title = self.witness.key.title
        self.subject = f"{publication.WITNESS}{self.title}"
        #: The size of the checkpoint that the witness has, as far as is known, and whether it has answered yet.
        self._size, self._has_answered = 0, False
        self._failures = 0
        self._not_before = 0.0

    async def run(self, telemetry: telemetry.Telemetry) -> None:
        """Ask the witness until cancelled."""
        paused = partial(telemetry.log.warning, "ledger_witness_paused")
        store, pace = self.reporter.store, min(PAUSE, self.timing.witness)
        try:
            await poll_loop.run(store, self._turn, paused, pace=pace, poll=self.timing.poll)
        finally:
            await self._client.aclose()

    async def _turn(self) -> None:
        """Ask once, unless there is nothing to be signed, or the last try failed a short time ago."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:
            return
        try:
            await self._ask()
            self._failures = 0
        except witness_client.WitnessFailed as failed:
            self._failures += 1
            wait = timeouts.delay(self._failures, self.timing.witness_backoff, self.timing.witness_backoff_most)
            self._not_before = loop.time() + wait.total_seconds()
            await self.reporter.failed(self.subject, str(failed))
        finally:
            self.looked.set()

    async def _ask(self) -> None:
        """Have the chosen checkpoint signed. Raises WitnessFailed."""
        store, now = self.reporter.store, self.reporter.clock()
        if await store.read(witnessing.is_due, self.timing.witness, now):
            await store.write(witnessing.choose, self.reporter.origin, self.timing.witness, now)
        wanted = await store.read(witnessing.chosen)
        self._size = max(self._size, await store.read(witnessing.last_size, self.title))
        if wanted is None or (self._size >= wanted.size and self._has_answered):
            return
        for _ in range(SENDS):
            old = min(self._size, wanted.size)
            proof = await store.read(witnessing.consistency, old, wanted.size)
            answer = await self._client.add_checkpoint(self.witness.url, old, proof, wanted.note)
            if answer.size is None:
                await self._store(wanted, answer.lines)
                return
            if answer.size == old:
                raise witness_client.WitnessFailed("it has another history of this ledger of the same size")
            self._size = answer.size
            if answer.size > wanted.size:
                await self._require_known(answer.size)
                return
        raise witness_client.WitnessFailed("it names another size each time")

    async def _require_known(self, size: int) -> None:
        """Stop the signing where the witness has more entries than this store has signed.

        Otherwise another process has sent it a newer checkpoint, and the next one is signed again.
        """
        newest = await self.reporter.store.read(checkpoints.newest)
        signed = 0 if newest is None else newest.size
        if size > signed:
            problem = (
                f"has a checkpoint of {size} entries, and this store has signed {signed}: it is an older copy"
            )
            await self.reporter.failed(self.subject, problem, halts=True)
            self._size, self._not_before = 0, asyncio.get_running_loop().time() + self.timing.witness
        self._has_answered = size <= signed

    async def _store(self, signed: checkpoints.Checkpoint, lines: Sequence[str]) -> None:
        """Check what the witness answered, and store it. Raises WitnessFailed."""
        store, now, key = self.reporter.store, self.reporter.clock(), self.witness.key
        text, _ = log_notes.split(signed.note)
        found = log_notes.cosigned_at(text, lines, key)
        if found is None:
            raise witness_client.WitnessFailed("its answer has no signature of its key under this checkpoint")
        line, at = found
        if abs(now - at) > SKEW:
            raise witness_client.WitnessFailed(f"it signed with the time {at.isoformat()}, and here it is {now}")
        kept = {self.title: line}
        if (other := log_notes.by_ml_dsa(lines, key)) is not None and key.name != self.reporter.origin:
            kept[f"{self.title} ML-DSA-44"] = other
        await store.write(witnessing.store, signed, kept, now)
        titles = [each.key.title for each in self.policy.witnesses]
        await store.write(witnessing.update_quorum, self.reporter.origin, titles, self.policy.quorum, now)
        self._size, self._has_answered = signed.size, True
        await self.reporter.reached(self.subject, signed.size)
