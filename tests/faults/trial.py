"""One database under load and kills: the sandbox, replicas behind one address, and the wait for quiet."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests import sandbox_server, server
from tests.faults import killing, load_balancer, retrying_client, sending, submitting, upstream

#: Waits in seconds: a lease is long enough to outlast every call, the rest is as in `tests.server`.
LEASE, SWEEP = 5.0, 2.0
TIMING: dict[str, Any] = {"lease": LEASE, "sweep": SWEEP, "lost_create": 60.0, "clock_skew": 30.0}
#: How many clients are at work, in addition to the sandbox.
BACKENDS, SENDERS, AGENTS = 12, 4, 8
#: Seconds in which everything has to have come to its end once the last kill is over.
PATIENCE = 180.0
#: Seconds between two lines of progress.
LINE = 5.0


@dataclass
class Trial:
    """What there is while it lasts, and what is known of it afterwards."""

    kind: str
    sandbox: sandbox_server.Sandbox
    replicas: Sequence[killing.Replica]
    killer: killing.Killer
    backends: Sequence[submitting.Backend]
    senders: Sequence[sending.Sender]
    tally: retrying_client.Tally
    journal: upstream.Journal
    seconds: float = 0.0
    quiet_after: float | None = None

    @property
    def rows(self) -> Callable[[str], list[dict[str, Any]]]:
        """Read the database directly."""
        return self.replicas[0].process.rows

    @property
    def submissions(self) -> list[submitting.Submission]:
        """Everybody's."""
        return [each for backend in self.backends for each in backend.submissions]

    @property
    def receipts(self) -> list[sending.Receipt]:
        """Everybody's."""
        return [each for sender in self.senders for each in sender.receipts]

    def complaints(self) -> Counter[str]:
        """What the servers have complained of in their log, by level and name."""
        return Counter(_complaint(line) for line in self.replicas[0].process.log.read_text().splitlines())

    async def play(self, kills: int) -> None:
        """Load and kills, then what was begun is finished, then quiet, then all servers are stopped."""
        began, over, read = time.monotonic(), asyncio.Event(), asyncio.Event()
        repeats: set[asyncio.Task[None]] = set()

        def repeat(sent: dict[str, Any]) -> None:
            if not over.is_set():
                repeats.add(asyncio.create_task(self.senders[len(repeats) % len(self.senders)].repeat(sent)))

        async with asyncio.TaskGroup() as group:
            following = group.create_task(self.journal.follow(self.sandbox.url, read, repeat))
            progress = group.create_task(self._print_progress(kills))
            group.create_task(self.killer.watch(over))
            at_work = [group.create_task(each.run(over)) for each in self.backends]
            at_work += [group.create_task(each.send_unknown(over)) for each in self.senders]
            await self.killer.run(kills)
            self.seconds = time.monotonic() - began
            over.set()
            await asyncio.wait(at_work)
            await asyncio.gather(*repeats)
            self.quiet_after = await self._quiet()
            progress.cancel()
            await self.killer.stop()
            read.set()
            await following

    async def _quiet(self) -> float | None:
        """Seconds until nothing was left to do, here or upstream; None where that did not come."""
        began = time.monotonic()
        await asyncio.sleep(upstream.LATE)  # until then a create may be done that nobody waits for any more
        while (now := time.monotonic() - began) < PATIENCE:
            if not await asyncio.to_thread(self._left):
                return now
            await asyncio.sleep(0.5)
        return None

    def _left(self) -> bool:
        left = """SELECT (SELECT count(*) FROM runs WHERE settled_at IS NULL)
            + (SELECT count(*) FROM jobs WHERE kind <> 'sweep')
            + (SELECT count(*) FROM ledger_entries WHERE leaf_index IS NULL) AS n"""
        return bool(self.rows(left)[0]["n"]) or any(
            run["status"] in ("queued", "running") for run in self.sandbox.runs()
        )

    async def _print_progress(self, kills: int) -> None:
        while True:
            await asyncio.sleep(LINE)
            known = sum(each.run_id is not None for each in self.submissions)
            print(
                f"{self.kind:10}  {len(self.killer.kills):4} of {kills} kills  {known:6,} submissions and "
                f"{len(self.receipts) + self.journal.acknowledged.total():7,} deliveries acknowledged",
                file=sys.stderr,
                flush=True,
            )


def _complaint(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return "unreadable line"  # its writer was killed meanwhile
    return f"{entry.get('level')} {entry.get('event')}"


@asynccontextmanager
async def started(kind: str, site: server.Site, replicas: int, seed: int) -> AsyncIterator[Trial]:
    """A trial whose servers are up. Each actor draws from a chance of its own, which follows from the seed."""

    def chance(name: str) -> random.Random:
        return random.Random(f"{seed}:{kind}:{name}")

    async with AsyncExitStack() as stack:
        sandbox = stack.enter_context(upstream.running(seed))
        address = await stack.enter_async_context(load_balancer.LoadBalancer(chance("front")))
        agents, secret = await asyncio.to_thread(_settle_in, sandbox, address.url)
        made = await asyncio.to_thread(_servers, site, sandbox.url, address.url, secret, replicas)
        for each in made:
            stack.callback(each.process.kill)
        address.ports = [each.process.port for each in made]
        tally = retrying_client.Tally()

        async def caller(name: str, *, kept: bool = True) -> retrying_client.Caller:
            headers = {"authorization": f"Bearer {made[0].process.key}"} if name.startswith("backend") else None
            opened = await stack.enter_async_context(retrying_client.client(address.url, headers, kept=kept))
            return retrying_client.Caller(opened, tally, chance(name))

        backends = [submitting.Backend(await caller(f"backend {n}"), agents) for n in range(BACKENDS)]
        senders = [sending.Sender(await caller(f"sender {n}", kept=n % 2 == 0), secret) for n in range(SENDERS)]
        killer = killing.Killer(made, chance("killer"))
        yield Trial(kind, sandbox, made, killer, backends, senders, tally, upstream.Journal())


def _settle_in(sandbox: sandbox_server.Sandbox, url: str) -> tuple[list[str], str]:
    """Agents to run, and the secret with which events are signed."""
    with sandbox.client() as api:
        agents = [sandbox_server.new_agent(api) for _ in range(AGENTS)]
        wanted = {"url": f"{url}/webhooks/case", "eventTypeFilters": ["agent.run.*"]}
        made = api.post("/webhooks/v1/endpoints", json=wanted).raise_for_status()
    return agents, str(made.json()["signingSecret"])


def _servers(site: server.Site, upstream_url: str, url: str, secret: str, count: int) -> list[killing.Replica]:
    settings = {"public_url": url, "webhook_secrets": secret, "log_level": "warning"}
    made = [
        killing.Replica(number, server.Server(site, upstream_url, TIMING, settings))
        for number in range(1, count + 1)
    ]
    for each in made:
        each.process.start()
    return made
