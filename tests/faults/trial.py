"""One database under load and kills: the sandbox, replicas behind one address, and the wait for the end."""

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

import httpx2 as httpx

from tests import sandbox_server, server
from tests.faults import killing, load_balancer, retrying_client, sending, submitting, upstream

#: Waits in seconds: a lease is long enough to outlast every call, the rest is as in `tests.server`.
LEASE, SWEEP = 5.0, 2.0
TIMING: dict[str, Any] = {"lease": LEASE, "sweep": SWEEP, "lost_create": 60.0, "clock_skew": 30.0}
#: How many clients there are, in addition to the sandbox.
BACKENDS, SENDERS, AGENTS = 12, 4, 8
#: Seconds after the last kill in which all work has to end.
TIMEOUT = 180.0
#: Seconds between two lines of progress.
LINE = 5.0


@dataclass
class Trial:
    """The servers, clients and results of a trial."""

    kind: str
    sandbox: sandbox_server.Sandbox
    replicas: Sequence[killing.Replica]
    killer: killing.Killer
    backends: Sequence[submitting.Backend]
    senders: Sequence[sending.Sender]
    tally: retrying_client.Tally
    journal: upstream.Journal
    seconds: float = 0.0
    ended_after: float | None = None

    @property
    def rows(self) -> Callable[[str], list[dict[str, Any]]]:
        """Read the database directly."""
        return self.replicas[0].process.rows

    @property
    def submissions(self) -> list[submitting.Submission]:
        """Return the submissions of all backends."""
        return [each for backend in self.backends for each in backend.submissions]

    @property
    def receipts(self) -> list[sending.Receipt]:
        """Return the receipts of all senders."""
        return [each for sender in self.senders for each in sender.receipts]

    def log_problems(self) -> Counter[str]:
        """Return what the servers logged as warnings or errors, by level and name."""
        return Counter(_log_problem(line) for line in self.replicas[0].process.log.read_text().splitlines())

    async def play(self, kills: int) -> None:
        """Run load and kills, finish all submissions, wait until nothing is open, then stop all servers."""
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
            self.ended_after = await self._wait_for_end()
            progress.cancel()
            await self.killer.stop()
            read.set()
            await following

    async def _wait_for_end(self) -> float | None:
        """Wait until no work was left here or upstream; return the seconds, or None where some was left."""
        began = time.monotonic()
        await asyncio.sleep(upstream.LATE)  # until then the sandbox may still perform an abandoned create
        while (now := time.monotonic() - began) < TIMEOUT:
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


def _log_problem(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return "unreadable line"  # its writer was killed
    return f"{entry.get('level')} {entry.get('event')}"


@asynccontextmanager
async def started(kind: str, site: server.Site, replicas: int, seed: int) -> AsyncIterator[Trial]:
    """Start the servers of a trial. Each actor has a random generator of its own, derived from the seed."""

    def chance(name: str) -> random.Random:
        return random.Random(f"{seed}:{kind}:{name}")

    async with AsyncExitStack() as stack:
        sandbox = stack.enter_context(upstream.running(seed))
        address = await stack.enter_async_context(load_balancer.LoadBalancer(chance("front")))
        agents, secret = await asyncio.to_thread(_create_agents, sandbox, address.url)
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


def _create_agents(sandbox: sandbox_server.Sandbox, url: str) -> tuple[list[str], str]:
    """Create agents, and the secret with which events are signed."""
    with sandbox.client() as api:
        agents = [_create_agent(api) for _ in range(AGENTS)]
        wanted = {"url": f"{url}/webhooks/case", "eventTypeFilters": ["agent.run.*"]}
        made = api.post("/webhooks/v1/endpoints", json=wanted).raise_for_status()
    return agents, str(made.json()["signingSecret"])


def _create_agent(api: httpx.Client) -> str:
    """Create an agent, and try again where the upstream limits the rate, as it does at random."""
    for _ in range(20):
        try:
            return sandbox_server.new_agent(api)
        except httpx.HTTPStatusError as limited:
            if limited.response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                raise
    raise AssertionError("the upstream limits the rate without an end")


def _servers(site: server.Site, upstream_url: str, url: str, secret: str, count: int) -> list[killing.Replica]:
    settings = {"public_url": url, "webhook_secrets": secret, "log_level": "warning"}
    made = [
        killing.Replica(number, server.Server(site, upstream_url, TIMING, settings))
        for number in range(1, count + 1)
    ]
    for each in made:
        each.process.start()
    return made
