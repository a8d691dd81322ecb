"""The killer: which replica, when, how long it stays down; and how long what it had leased was left alone."""

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
#: Shares of kills that hit two replicas at once, and of starts that are killed before they are through.
PAIRED, NIPPED = 0.15, 0.12
NIPPED_AFTER = (0.0, 0.8)
#: How often a process that ends at its start is started again.
STARTS = 5
#: Seconds between two looks at the leases; for which they are looked at after the last kill.
LOOK, LONGEST = 0.2, 120.0

#: Whose work a job is: of a run, or of the deployment, which comes after it; its key, and its fence.
Lease = tuple[str, int, int]


@dataclass
class Kill:
    """A SIGKILL, with seconds after it.

    `moved` is when the last of the jobs that were leased at that moment, by any process, was completed, released
    or claimed again: for runs and for the deployment. `down` is how long the replica stayed dead, `start` how long
    it then took until it answered; None where it was killed before.
    """

    replica: int
    at: datetime
    while_starting: bool = False
    others_down: int = 0
    leased: int = 0
    down: float = 0.0
    moved: dict[str, float] = field(default_factory=dict)
    start: float | None = None
    left: frozenset[Lease] = frozenset()
    began: float = field(default_factory=time.monotonic)

    @property
    def since(self) -> float:
        """Seconds that have passed."""
        return time.monotonic() - self.began


@dataclass
class Replica:
    """A server, and whether it is up."""

    number: int
    process: server.Server
    is_up: bool = True


class Killer:
    """Kills `count` times, and starts again what was killed."""

    def __init__(self, replicas: Sequence[Replica], chance: random.Random) -> None:
        self._replicas, self._chance = replicas, chance
        self.kills: list[Kill] = []
        #: What must not happen: processes that ended by themselves, or would not start.
        self.odd: list[str] = []

    async def run(self, count: int) -> None:
        """Returns when all are up again after the last kill."""
        self._count = count
        async with asyncio.TaskGroup() as group:
            while not self._is_over:
                await asyncio.sleep(self._chance.uniform(*BETWEEN))
                up = [each for each in self._replicas if each.is_up]
                struck = 2 if self._chance.random() < PAIRED else 1
                for victim in self._chance.sample(up, min(struck, len(up))):
                    if not self._is_over:
                        group.create_task(self._strike(victim, self._begin(victim)))

    @property
    def _is_over(self) -> bool:
        return len(self.kills) >= self._count

    def _begin(self, victim: Replica, *, while_starting: bool = False) -> Kill:
        victim.is_up = False
        down = sum(not each.is_up for each in self._replicas) - 1
        kill = Kill(victim.number, datetime.now(UTC), while_starting, down, down=self._chance.uniform(*DOWN))
        self.kills.append(kill)
        return kill

    async def _strike(self, victim: Replica, kill: Kill) -> None:
        await asyncio.to_thread(victim.process.kill)
        kill.left = await asyncio.to_thread(leases, victim.process)
        kill.leased = len(kill.left)
        await asyncio.sleep(kill.down)
        if self._chance.random() < NIPPED and not self._is_over:
            await asyncio.to_thread(victim.process.begin)
            await asyncio.sleep(self._chance.uniform(*NIPPED_AFTER))
            await self._strike(victim, self._begin(victim, while_starting=True))
        else:
            kill.start, victim.is_up = await self._revive(victim), True

    async def _revive(self, victim: Replica) -> float:
        """Seconds until it answered. One that ends at its start is noted and started again."""
        for _ in range(STARTS):
            began = time.monotonic()
            await asyncio.to_thread(victim.process.start)
            if not victim.process.is_dead():
                break
            self.odd.append(f"process {victim.number} ended at its start")
        return time.monotonic() - began

    async def stop(self) -> None:
        """Has all of them drain and end."""
        for each in self._replicas:
            if each.process.is_dead():
                self.odd.append(f"process {each.number} ended by itself")
        await asyncio.gather(*(asyncio.to_thread(each.process.stop) for each in self._replicas))

    async def watch(self, until: asyncio.Event) -> None:
        """Looks at the leases until then, and a while longer where some that were held at a kill still are."""
        while not until.is_set() or (self._waiting() and self.kills[-1].since < LONGEST):
            await asyncio.sleep(LOOK)
            waiting = self._waiting()
            if waiting:
                now = await asyncio.to_thread(leases, self._replicas[0].process)
                _move_on(waiting, now)

    def _waiting(self) -> list[Kill]:
        return [kill for kill in self.kills if kill.left]


def _move_on(waiting: Sequence[Kill], now: frozenset[Lease]) -> None:
    for kill in waiting:
        kill.moved |= dict.fromkeys((of for of, _, _ in kill.left - now), kill.since)
        kill.left &= now


def leases(at: server.Server) -> frozenset[Lease]:
    """The jobs that are leased just now, each with its fence: that grows with every claim."""
    held = at.rows("SELECT run_id, seq, fence FROM jobs WHERE lease_owner IS NOT NULL")
    return frozenset(("a run" if row["run_id"] else "the deployment", row["seq"], row["fence"]) for row in held)
