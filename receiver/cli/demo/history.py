"""The two weeks before the demo: runs that other agents had at Case.dev, adopted as `backfill` would."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx

from receiver.cli import event_loop
from receiver.cli.demo.environment import DemoEnvironment

#: How many runs there are, over how many seconds, and how long adopting them may take.
RUNS, SPAN, TIMEOUT = 160, 14 * 86400, 60.0
_DAY = 86400
#: The agents with their models, and how often each was used.
_AGENTS = (
    ("Clause reviewer", "anthropic/claude-sonnet-4.6", 5),
    ("Deposition summariser", "anthropic/claude-haiku-3.5", 4),
    ("Citation checker", "anthropic/claude-haiku-3.5", 3),
    ("Privilege screener", "anthropic/claude-opus-4.5", 1),
)
_TASKS = (
    "Red-line the indemnification clause against our standard.",
    "Does the force majeure clause excuse the late deliveries in the first quarter?",
    "Summarise the deposition of the site engineer, volume II.",
    "Verify the citations of the reply brief and mark those that were overruled.",
    "List change of control clauses in the data room, with their consequences.",
    "Which of the e-mails in the second production mention the holdback?",
    "Compare the limitation of liability in the three draft agreements.",
    "Chronology of the correspondence between January and May, with sources.",
    "Prepare questions on the maintenance log for the cross-examination.",
    "Fasse die Kündigungsrechte beider Parteien zusammen.",
    "契約における損害賠償の上限と例外条項を一覧にしてください。",
    "لخّص التزامات المورّد بموجب عقد التوريد.",
)
#: The states in which runs ended, with their frequency.
_STATES = (("completed", 30), ("failed", 3), ("cancelled", 1))


async def fill(servers: DemoEnvironment, runs: int = RUNS) -> int:
    """Create the runs upstream and adopt them; return their number once all are settled."""
    async with servers.backend() as backend, servers.upstream() as upstream:
        agents = [await _agent(upstream, name, model) for name, model, _ in _AGENTS]
        made = [await _past(upstream, body) for body in _bodies(agents, runs)]
        ids = [await _adopt(backend, each) for each in made]

        async def unsettled() -> int:
            answers = await asyncio.gather(*(backend.get(f"/v1/runs/{each}") for each in ids[-8:]))
            return sum(answer.raise_for_status().json()["settledAt"] is None for answer in answers)

        await event_loop.until(lambda left: left == 0, unsettled, TIMEOUT, 0.2)
    return len(ids)


async def _agent(upstream: httpx.AsyncClient, name: str, model: str) -> str:
    asked = {"name": name, "model": model, "instructions": f"You are a {name.lower()} in a law firm."}
    made: str = (await upstream.post("/agent/v1/agents", json=asked)).raise_for_status().json()["id"]
    return made


def _bodies(agents: list[str], runs: int) -> Iterator[dict[str, Any]]:
    """Yield the runs, the oldest first; most are in the working hours of their day."""
    chance = random.Random(1)
    moments = sorted((_ago(chance) for _ in range(runs)), reverse=True)
    for ago in moments:
        yield {
            "count": 1,
            "ago": ago,
            "seconds": int(min(1790, 20 + chance.expovariate(1 / 120))),
            "agentId": chance.choices(agents, [weight for *_, weight in _AGENTS])[0],
            "prompt": chance.choice(_TASKS),
            "status": chance.choices([name for name, _ in _STATES], [weight for _, weight in _STATES])[0],
        }


def _ago(chance: random.Random) -> int:
    day = chance.randrange(SPAN // _DAY) * _DAY
    return int(day + min(_DAY - 1, max(0, chance.gauss(_DAY / 2, _DAY / 6))))


async def _past(upstream: httpx.AsyncClient, body: dict[str, Any]) -> str:
    made: str = (await upstream.post("/sandbox/runs", json=body)).raise_for_status().json()["runs"][0]
    return made


async def _adopt(backend: httpx.AsyncClient, upstream_id: str) -> str:
    adopted: str = (await backend.post("/v1/watch", json={"runId": upstream_id})).raise_for_status().json()["id"]
    return adopted
