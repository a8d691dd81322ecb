"""The backend of the demo, and a sender of forged requests."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import httpx2 as httpx
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from receiver import clock
from receiver.cli import event_loop, open_database
from receiver.cli.demo import environment
from receiver.cli.demo.environment import DemoEnvironment
from receiver.cli.errors import CommandError
from receiver.cli.render import terminal
from storage import states
from storage.repositories import deliveries, job_list

#: Seconds after which the demo has failed, and between two reads.
TIMEOUT, INTERVAL = 22.0, 0.1
#: Forged requests, each of which is rejected.
FORGED = 2
_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


class Played(NamedTuple):
    """The agent of the runs, and how many seconds they took."""

    agent: str
    seconds: float


async def play(servers: DemoEnvironment) -> Played:
    """Submit the runs, cancel the last one, forge requests, and wait until all has settled. Raise CommandError."""
    began = time.monotonic()
    log = open_database.short_path(servers.log)
    try:
        async with asyncio.timeout(TIMEOUT), servers.backend() as backend, servers.upstream() as upstream:
            agent: str = (await _post(upstream, "/agent/v1/agents", environment.AGENT))["id"]
            for task in environment.TASKS:
                run = await _post(backend, "/v1/runs", {"agentId": agent, **task})
            await _forge(servers.server)
            await _cancel(backend, run["id"])
            await _wait(servers, backend)
    except TimeoutError:
        raise CommandError(f"the demo's runs have not all settled within {TIMEOUT:g} s: see {log}") from None
    except httpx.HTTPError as error:
        raise CommandError(f"the demo failed: {error}; see {log}") from None
    return Played(agent, time.monotonic() - began)


async def _post(client: httpx.AsyncClient, path: str, body: object = None) -> dict[str, str]:
    answer: dict[str, str] = (await client.post(path, json=body)).raise_for_status().json()
    return answer


async def _cancel(backend: httpx.AsyncClient, run: str) -> None:
    """Cancel a run once it is running, so that it is cancelled upstream."""

    async def status() -> str:
        answer: dict[str, str] = (await backend.get(f"/v1/runs/{run}")).raise_for_status().json()
        return answer["status"]

    await event_loop.until(lambda state: state not in ("accepted", "queued"), status, TIMEOUT, INTERVAL)
    await _post(backend, f"/v1/runs/{run}/cancel")


async def _forge(server: str) -> None:
    """Send an event with a forged signature, and a callback to an address that does not exist."""
    event = {"id": "evt_forged", "type": "agent.run.completed", "data": {"runId": "run_forged"}}
    headers = {
        "case-webhook-id": "dlv_forged",
        "case-webhook-timestamp": str(int(time.time())),
        "case-webhook-signature": "v1,Zm9yZ2VkIGZvcmdlZCBmb3JnZWQgZm9yZ2VkIGZvcmc=",
    }
    async with httpx.AsyncClient(base_url=server, trust_env=False) as sender:
        await sender.post("/webhooks/case", json=event, headers=headers)
        await sender.post("/callbacks/never-given-out", json={"runId": "run_forged"})


async def _wait(servers: DemoEnvironment, backend: httpx.AsyncClient) -> None:
    """Wait until every run has ended, the forged requests are stored, and no job settles a run."""
    total = len(environment.TASKS)
    with terminal.bar("waiting for callbacks, events and the sweep", total, *_COLUMNS) as update:
        async with open_database.existing(servers.given) as store:
            while True:
                page = (await backend.get("/v1/runs")).raise_for_status().json()
                settled = sum(run["settledAt"] is not None for run in page["runs"])
                update(completed=settled)
                counts = await store.read(deliveries.count_by_verdict)
                rejected = sum(count for (_, verdict), count in counts.items() if verdict == "rejected")
                found, _ = await store.read(job_list.page, job_list.Query(kind=states.Kind.SETTLE), clock.now())
                is_busy = any(job.state in (states.JobState.DUE, states.JobState.LEASED) for job in found)
                if settled == total and rejected >= FORGED and not is_busy:
                    return
                await asyncio.sleep(INTERVAL)
