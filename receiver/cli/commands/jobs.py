"""Commands that list jobs, group them by cause, and retry them."""

from __future__ import annotations

from typing import Annotated

import typer

from receiver.api import jobs as handlers
from receiver.cli import api_calls, event_loop, options, target
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.parameters import argument, flag, option
from receiver.cli.render import json_lines, lists, results
from receiver.schemas import bodies, query_parameters, responses
from storage import states

app = event_loop.commands()

Kind = Annotated[str | None, options.choice(states.Kind, "KIND")]


@app.callback(invoke_without_command=True)
async def jobs(
    context: typer.Context,
    kind: Kind = None,
    run: options.OfRun = None,
    state: Annotated[str | None, options.choice(states.JobState, "STATE")] = None,
    by: Annotated[str | None, option("cause", "cause: why jobs fail, and how many.")] = None,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    every_page: options.All = False,
    as_json: options.Json = False,
) -> None:
    """List the work that is under way, or try jobs again.

    \b
    Examples:
      runledger jobs --state failing
      runledger jobs --by cause
      runledger jobs retry --kind notify --dry-run
    """
    if context.invoked_subcommand is not None:
        return
    if by is None:
        given = {"kind": kind, "run": run, "state": state, "limit": limit, "cursor": cursor}
        query = api_calls.parameters(query_parameters.JobQuery, given)
        await results.pages(
            handlers.list_jobs, responses.Jobs, query, "jobs", lists.JOBS, every_page=every_page, as_json=as_json
        )
        return
    if by != "cause" or run or cursor:
        raise CommandError("--by cause can be combined with --kind and --state only", USAGE)
    async with target.opened() as store:
        causes = api_calls.parameters(query_parameters.CauseQuery, {"kind": kind, "state": state})
        found = await api_calls.ask(store, handlers.list_causes, responses.Causes, query=causes)
    results.rows(found.causes, lists.CAUSES, as_json=as_json)


@app.command()
async def retry(
    job: Annotated[str | None, argument("ID", "A job, as `runledger jobs` lists it.")] = None,
    kind: Kind = None,
    state: Annotated[str | None, options.choice(states.FailedJobState, "STATE")] = None,
    cause: Annotated[str | None, option("TEXT", "The cause contains this, in upper or lower case.")] = None,
    dry_run: Annotated[bool, flag("--dry-run", "List the jobs, and change nothing.")] = False,
    as_json: options.Json = False,
) -> None:
    """Make jobs due now, whatever their back-off.

    Without an ID: all jobs that fail or are dead and that the options choose.

    \b
    Examples:
      runledger jobs retry 019a2f7c-0000-7000-8000-000000000000
      runledger jobs retry --kind notify
      runledger jobs retry --kind settle --cause '503' --dry-run
    """
    chosen = {"kind": kind, "state": state, "cause": cause}
    if (job is None) != any(chosen.values()) or (job is not None and dry_run):
        raise CommandError("name one job, or some by --kind, --state or --cause", USAGE)
    body = None if job is not None else api_calls.body(bodies.Retry, {**chosen, "dryRun": dry_run})
    async with target.opened() as store:
        if job is not None:
            one = await api_calls.ask(store, handlers.retry_job, responses.Job, path_id=job)
            if as_json:
                json_lines.model(one)
            else:
                print(f"The {one.kind} job is due now. {(await api_calls.worker_status(store)).message}")
            return
        found = await api_calls.ask(store, handlers.retry_jobs, responses.Retried, body=body)
        worker = await api_calls.worker_status(store)
    if as_json:
        json_lines.model(found)
        return
    if found.count:
        lists.CAUSES.show(found.causes)
    if found.dry_run:
        print(f"Due now without --dry-run: {found.count:,}.")
    else:
        print(f"Due now: {found.count:,}." + (f" {worker.message}" if found.count else ""))
