"""Kill replicas at random moments and start them again; measure how long their leased jobs waited."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests import server

#: Seconds between two kills, and for which a killed replica stays down.
BETWEEN, DOWN = (0.3, 4.0), (0.1, 2.0)
#: Shares of kills of two replicas at once, and of starts that are killed before they complete.
TWO_AT_ONCE, KILLED_AGAIN = 0.15, 0.12
KILLED_AGAIN_AFTER = (0.0, 0.8)
#: How often a process that ends at its start is started again.
STARTS = 5
#: Seconds between two reads of the leases; how long they are read after the last kill.
INTERVAL, LONGEST = 0.2, 120.0

#: Whether a job is a run's or the deployment's; its key, and its fence.
Lease = tuple[str, int, int]


@dataclass
class Kill:
    """A SIGKILL, with the seconds after it.

    `recovered` is when the last of the jobs that were leased at that moment, by any process, was completed,
    released or claimed again: for runs and for the deployment. `down` is how long the replica stayed dead, `start`
    how long it then took until it answered; None where it was killed before.
    """

    replica: int
    at: datetime
    while_starting: bool = False
    others_down: int = 0
    leased: int = 0
    down: float = 0.0
    recovered: dict[str, float] = field(default_factory=dict)
    start: float | None = None
    left: frozenset[Lease] = frozenset()
    began: float = field(default_factory=time.monotonic)

    @property
    def since(self) -> float:
        """Return the seconds that have passed."""
        return time.monotonic() - self.began


@dataclass
class Replica:
    """A server, and whether it runs."""

    number: int
    process: server.Server
    is_up: bool = True


class Killer:
    """Kill `count` times, and restart each killed replica."""

    def __init__(self, replicas: Sequence[Replica], chance: random.Random) -> None:
        self._replicas, self._chance = replicas, chance
        self.kills: list[Kill] = []
        #: What must not happen: processes that ended unasked, or did not start.
        self.unexpected: list[str] = []

    async def run(self, count: int) -> None:
        """Kill and restart; return when all replicas run again after the last kill."""
        self._count = count
        async with asyncio.TaskGroup() as group:
            while not self._is_over:
                await asyncio.sleep(self._chance.uniform(*BETWEEN))
                up = [each for each in self._replicas if each.is_up]
                hit = 2 if self._chance.random() < TWO_AT_ONCE else 1
                for victim in self._chance.sample(up, min(hit, len(up))):
                    if not self._is_over:
                        group.create_task(self._kill(victim, self._begin(victim)))

    @property
    def _is_over(self) -> bool:
        return len(self.kills) >= self._count

    def _begin(self, victim: Replica, *, while_starting: bool = False) -> Kill:
        victim.is_up = False
        down = sum(not each.is_up for each in self._replicas) - 1
        kill = Kill(victim.number, datetime.now(UTC), while_starting, down, down=self._chance.uniform(*DOWN))
        self.kills.append(kill)
        return kill

    async def _kill(self, victim: Replica, kill: Kill) -> None:
        await asyncio.to_thread(victim.process.kill)
        kill.left = await asyncio.to_thread(leases, victim.process)
        kill.leased = len(kill.left)
        await asyncio.sleep(kill.down)
        if self._chance.random() < KILLED_AGAIN and not self._is_over:
            await asyncio.to_thread(victim.process.begin)
            await asyncio.sleep(self._chance.uniform(*KILLED_AGAIN_AFTER))
            await self._kill(victim, self._begin(victim, while_starting=True))
        else:
            kill.start, victim.is_up = await self._restart(victim), True

    async def _restart(self, victim: Replica) -> float:
        """Restart a replica; return the seconds until it answered. One that dies at its start is tried again."""
        for _ in range(STARTS):
            began = time.monotonic()
            await asyncio.to_thread(victim.process.start)
            if not victim.process.is_dead():
                break
            self.unexpected.append(f"process {victim.number} ended at its start")
        return time.monotonic() - began

    async def stop(self) -> None:
        """Stop all of them with SIGTERM."""
        for each in self._replicas:
            if each.process.is_dead():
                self.unexpected.append(f"process {each.number} ended by itself")
        await asyncio.gather(*(asyncio.to_thread(each.process.stop) for each in self._replicas))

    async def watch(self, until: asyncio.Event) -> None:
        """Observe the leases until `until`, and longer where some that were held at a kill are still held."""
        while not until.is_set() or (self._waiting() and self.kills[-1].since < LONGEST):
            await asyncio.sleep(INTERVAL)
            waiting = self._waiting()
            if waiting:
                now = await asyncio.to_thread(leases, self._replicas[0].process)
                _record_recovered(waiting, now)

    def _waiting(self) -> list[Kill]:
        return [kill for kill in self.kills if kill.left]


def _record_recovered(waiting: Sequence[Kill], now: frozenset[Lease]) -> None:
    for kill in waiting:
        kill.recovered |= dict.fromkeys((of for of, _, _ in kill.left - now), kill.since)
        kill.left &= now


def leases(at: server.Server) -> frozenset[Lease]:
    """Return the jobs that are leased now, each with its fence, which grows with every claim."""
    held = at.rows("SELECT run_id, seq, fence FROM jobs WHERE lease_owner IS NOT NULL")
    return frozenset(("a run" if row["run_id"] else "the deployment", row["seq"], row["fence"]) for row in held)
