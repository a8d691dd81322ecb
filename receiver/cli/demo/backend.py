"""Play the demo: submit its runs as a backend, send forged requests, and print the outcome."""

from __future__ import annotations

import asyncio
import os.path
import shlex
import shutil
import sys
import time
from collections.abc import Sequence

import httpx2 as httpx
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from receiver import clock
from receiver.api import runs, stats
from receiver.cli import api_calls, event_loop, open_database
from receiver.cli.actions import open_pages
from receiver.cli.demo import environment
from receiver.cli.demo.environment import DemoEnvironment
from receiver.cli.errors import CommandError
from receiver.cli.render import format as render_format
from receiver.cli.render import lists, progress, results, table, terminal
from receiver.schemas import query_parameters, responses
from storage import states
from storage.repositories import deliveries, job_list

#: Seconds after which the demo has failed, and between two reads.
TIMEOUT, INTERVAL = 22.0, 0.1
#: Forged requests, each of which is rejected.
FORGED = 2
_BAR = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())

#: A remark for each source and verdict.
_REMARKS = {
    ("watcher", "accepted"): "the upstream called back",
    ("watcher", "duplicate"): "it called back twice: nothing changed",
    ("watcher", "rejected"): "an address that does not exist",
    ("platform", "accepted"): "events whose signature verifies",
    ("platform", "duplicate"): "an event that was known",
    ("platform", "rejected"): "an event with a forged signature",
}
#: Columns of deliveries; an item is a verdict, a source and a count.
_COLUMNS: tuple[table.Column[tuple[str, str, int]], ...] = (
    table.Column("verdict", lambda each: table.state(each[0])),
    table.Column("source", lambda each: each[1]),
    table.Column("count", lambda each: render_format.count(each[2]), right=True),
    table.Column("because", lambda each: _REMARKS.get((each[1], each[0])), 1, flexible=True),
)


async def show(servers: DemoEnvironment, agent: str, seconds: float, *, stays: bool, as_json: bool) -> None:
    """Print runs, deliveries, sums, and commands that the operator may type; for programs the runs alone."""
    oldest_first = query_parameters.RunQuery(sort="accepted", origin="submitted")
    by_model = query_parameters.StatsQuery(by="model", origin="submitted")
    async with open_database.existing(servers.given) as store:
        found = (await api_calls.ask(store, runs.list_runs, responses.Runs, query=oldest_first)).runs
        counts = await store.read(deliveries.count_by_verdict)
        sums = await api_calls.ask(store, stats.get_stats, responses.Stats, query=by_model)
    if as_json:
        results.rows(found, lists.RUNS, as_json=True)
        return
    print(f"{len(found)} runs submitted, and every one settled, in {seconds:.1f} s.\n")
    lists.RUNS.show(found, "Runs")
    print()
    by_verdict = sorted((verdict, source, count) for (source, verdict), count in counts.items() if count)
    table.show(_COLUMNS, by_verdict, "Deliveries")
    print()
    lists.stats(sums).show(sums.stats, "By model")
    print()
    _show_commands(servers, agent, found, stays=stays)


def _show_commands(
    servers: DemoEnvironment, agent: str, found: Sequence[responses.RunLine], *, stays: bool
) -> None:
    """Print commands that work as they are, in the folder where the demo was started."""
    where = " (in another terminal; Ctrl-C ends the demo)" if stays else ""
    terminal.console().print(Text(f"Now type{where}", "bold"))
    folder = shlex.quote(open_database.short_path(servers.given.data_dir))
    program = f"RUNLEDGER_DATA_DIR={folder} {_program()}"
    swept, failed = _run(found, environment.SILENT), _run(found, environment.FAILING[0])
    commands = [
        f"{program} show {failed}",
        f"{program} timeline {swept}",
        f"{program} runs --cost '>0.10' --sort -cost",
        f"{program} deliveries --verdict rejected",
    ]
    if stays:
        commands += [
            f"{program} submit --agent {agent} --prompt 'Summarise the lease.' --wait 20",
            f"curl -s -H 'Authorization: Bearer {servers.key}' '{servers.server}/v1/runs?status=failed'",
        ]
    for command in commands:
        print(f"  {command}")


async def show_pages(servers: DemoEnvironment) -> None:
    """Print a link to the pages, which signs in once."""
    async with open_database.existing(servers.given) as store:
        made = await open_pages.link(store, servers.server, environment.LINK_LIFETIME)
    terminal.console().print(Text("\nOpen the pages (the link signs in once)", "bold"))
    print(f"  {made.address}", flush=True)


def _run(found: Sequence[responses.RunLine], part: str) -> str:
    """Return the run whose prompt contains a text."""
    return next(run.id for run in found if part in (run.prompt or ""))


def _program() -> str:
    """Return this program, as it was called."""
    called = sys.argv[0]
    if os.path.basename(called) != "runledger":
        return f"{shlex.quote(sys.executable)} -m receiver"
    found = shutil.which("runledger")
    if found and os.path.exists(called) and os.path.samefile(found, called):
        return "runledger"
    return shlex.quote(open_database.short_path(called))


async def play(servers: DemoEnvironment) -> tuple[str, float]:
    """Submit the runs, cancel the last one, forge requests, and wait until every run has settled.

    Return the agent of the runs, and how many seconds they took. Raise CommandError.
    """
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
    return agent, time.monotonic() - began


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
    with progress.bar("waiting for callbacks, events and the sweep", total, *_BAR) as update:
        async with open_database.existing(servers.given) as store:
            while True:
                page = (await backend.get("/v1/runs?origin=submitted")).raise_for_status().json()
                settled = sum(run["settledAt"] is not None for run in page["runs"])
                update(completed=settled)
                counts = await store.read(deliveries.count_by_verdict)
                rejected = sum(count for (_, verdict), count in counts.items() if verdict == "rejected")
                found, _ = await store.read(job_list.page, job_list.Query(kind=states.Kind.SETTLE), clock.now())
                is_busy = any(job.state in (states.JobState.DUE, states.JobState.LEASED) for job in found)
                if settled == total and rejected >= FORGED and not is_busy:
                    return
                await asyncio.sleep(INTERVAL)
