"""The part of the backend in the demo, and of a stranger who tries his luck."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx2 as httpx
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from receiver import clock
from receiver.cli import casework, opening, sentences, staging, tables
from storage import deliveries, jobs, states

#: Seconds after which the demo has failed, and between two looks.
PATIENCE = 22.0
LOOK = 0.1
#: Requests of the stranger, each of which is to be turned away.
FORGED = 2

#: Tells how many runs have settled, and what is waited for.
Show = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Played:
    """What was done: the agent, our ids of the runs in the order of the tasks, and how long it took."""

    agent: str
    runs: tuple[str, ...]
    seconds: float

    def run(self, piece: str) -> str:
        """The run whose prompt contains that."""
        return next(run for run, task in zip(self.runs, casework.TASKS, strict=True) if piece in task.prompt)


async def play(stage: staging.Stage) -> Played:
    """Submits, cancels, forges, and waits until all has settled. Raises Complaint where it does not in time."""
    began = time.monotonic()
    with _progress(len(casework.TASKS)) as show:
        try:
            async with asyncio.timeout(PATIENCE), stage.backend() as backend:
                agent = await _agent(stage)
                show(0, "submitting runs")
                runs = [await _submitted(backend, agent, task) for task in casework.TASKS]
                await _forge(stage)
                await _cancel(backend, runs[casework.TASKS.index(casework.CANCELLED)])
                await _settled(stage, backend, show)
        except TimeoutError:
            raise sentences.Complaint(
                f"the demo's runs have not all settled within {PATIENCE:g} s: see {opening.short(stage.log)}"
            ) from None
        except httpx.HTTPError as error:
            raise sentences.Complaint(f"the demo failed: {error}; see {opening.short(stage.log)}") from None
    return Played(agent, tuple(runs), time.monotonic() - began)


async def _agent(stage: staging.Stage) -> str:
    async with stage.upstream() as upstream:
        made = await upstream.post("/agent/v1/agents", json=casework.AGENT)
    agent: str = made.raise_for_status().json()["id"]
    return agent


async def _submitted(backend: httpx.AsyncClient, agent: str, task: casework.Task) -> str:
    """Our id of the run: durable from here on, whatever happens to anyone."""
    answer = await backend.post("/v1/runs", json=task.body(agent))
    run: str = answer.raise_for_status().json()["id"]
    return run


async def _cancel(backend: httpx.AsyncClient, run: str) -> None:
    """Once it runs, so that there is something to cancel upstream."""
    while await _status(backend, run) in ("accepted", "queued"):  # noqa: ASYNC110 - over HTTP
        await asyncio.sleep(LOOK)
    (await backend.post(f"/v1/runs/{run}/cancel")).raise_for_status()


async def _status(backend: httpx.AsyncClient, run: str) -> str:
    status: str = (await backend.get(f"/v1/runs/{run}")).raise_for_status().json()["status"]
    return status


async def _forge(stage: staging.Stage) -> None:
    """An event signed with the wrong key, and a callback to an address that was never given out."""
    event = {"id": "evt_forged", "type": "agent.run.completed", "data": {"runId": "run_forged"}}
    headers = {
        "case-webhook-id": "dlv_forged",
        "case-webhook-timestamp": str(int(time.time())),
        "case-webhook-signature": "v1,Zm9yZ2VkIGZvcmdlZCBmb3JnZWQgZm9yZ2VkIGZvcmc=",
    }
    async with httpx.AsyncClient(base_url=stage.server, trust_env=False) as stranger:
        await stranger.post("/webhooks/case", json=event, headers=headers)
        await stranger.post("/callbacks/never-given-out", json={"runId": "run_forged"})


async def _settled(stage: staging.Stage, backend: httpx.AsyncClient, show: Show) -> None:
    """Waits until every run has ended, the forgeries are on record, and no worker is at it."""
    async with opening.existing(stage.given) as store:
        while True:
            page = (await backend.get("/v1/runs")).raise_for_status().json()
            done = sum(run["settledAt"] is not None for run in page["runs"])
            show(done, "waiting for callbacks, events and the sweep")
            counts = await store.read(deliveries.verdicts)
            rejected = sum(number for (_, verdict), number in counts.items() if verdict == states.Verdict.REJECTED)
            found, _ = await store.read(jobs.page, jobs.Query(kind=states.Kind.SETTLE), clock.now())
            busy = [job for job in found if job.state in (jobs.State.DUE, jobs.State.LEASED)]
            if done == len(casework.TASKS) and rejected >= FORGED and not busy:
                return
            await asyncio.sleep(LOOK)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Show]:
    """A bar, where somebody looks."""
    out = tables.console(to_stderr=True)
    if not out.is_terminal:
        yield lambda done, what: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True) as progress:
        bar = progress.add_task("", total=total)
        yield lambda done, what: progress.update(bar, completed=done, description=what)
