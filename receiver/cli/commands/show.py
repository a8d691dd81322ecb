"""Commands that show one run: its record, its steps, its timeline, its document."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from receiver.api import runs
from receiver.cli import event_loop, local_api, open_database, options
from receiver.cli.render import detail, lists, results
from receiver.schemas import notification, query_parameters, responses

app = event_loop.commands()

#: Steps that are read at once.
PAGE = 250


@app.command()
async def show(
    run: options.Run,
    follow: Annotated[
        bool, typer.Option("--follow", help="Print the events of its stream until it has ended.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show one run with its prompt and its result.

    With --follow its events come from Case.dev with your key, or from the
    database where they were captured.

    \b
    Examples:
      runledger show run_01hx
      runledger show run_01hx --follow
    """
    if follow:
        # The upstream's client is slow to import, and needed only here.
        from receiver.cli.commands import events

        with event_loop.until_interrupted():
            await events.follow(run, as_json)
        return
    async with open_database.existing() as store:
        found = await local_api.ask(store, runs.get_run, notification.FullRun, path_id=run)
    results.one(found, detail.run, as_json=as_json)


@app.command()
async def steps(
    run: options.Run,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The first N steps; all of them without it.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List what the agent thought and did, step by step.

    \b
    Example:
      runledger steps run_01hx --json
    """
    found: list[responses.Step] = []
    query = query_parameters.StepQuery(limit=min(limit or PAGE, PAGE))
    async with open_database.existing() as store:
        async for page in local_api.pages(
            store, runs.list_steps, responses.Steps, query, path_id=run, every_page=True
        ):
            found += page.steps
            if limit is not None and len(found) >= limit:
                break
    results.rows(found[:limit], lists.STEPS, as_json=as_json)


@app.command()
async def timeline(run: options.Run, as_json: options.Json = False) -> None:
    """List what happened to a run, oldest first.

    \b
    Example:
      runledger timeline run_01hx
    """
    async with open_database.existing() as store:
        found = await local_api.ask(store, runs.get_timeline, responses.Timeline, path_id=run)
    results.rows(found.timeline, lists.TIMELINE, as_json=as_json)


@app.command()
async def document(
    run: options.Run,
    version: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Which version; the last one without it.")
    ] = None,
) -> None:
    """Print the upstream's answer, byte for byte.

    \b
    Examples:
      runledger document run_01hx > run_01hx.json
      runledger document run_01hx | jq .result
    """
    query = query_parameters.DocumentQuery(version=version)
    async with open_database.existing() as store:
        answer = await local_api.call(store, runs.get_document, run, query)
    assert isinstance(answer.body, bytes)
    sys.stdout.buffer.write(answer.body)
    sys.stdout.buffer.flush()
