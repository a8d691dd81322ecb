"""The work that is under way: which jobs there are, why they fail, and to have them tried again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from receiver import escaped
from receiver.cli import lists, loop, options, sentences

VERBS = typer.Typer()

KINDS = "start, settle, cancel, orphan, adopt, sweep, notify, capture or check."
Kind = Annotated[str | None, typer.Option(metavar="KIND", help=KINDS)]
Cause = Annotated[str | None, typer.Option(metavar="TEXT", help="Whose cause contains this, in whatever case.")]


@VERBS.callback(invoke_without_command=True)
def jobs(
    context: typer.Context,
    kind: Kind = None,
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="Of one run, by our id or the upstream's.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="waiting, due, failing, leased or dead.")
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="cause", help="cause: why jobs fail, and how many.")] = None,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    all_of_them: options.All = False,
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
    from receiver import shapes
    from receiver.api import jobs as handlers
    from receiver.cli import lines

    if by is not None:
        if by != "cause" or run or cursor:
            raise sentences.Complaint("--by cause goes with --kind and --state alone", sentences.USAGE)
        loop.run(_causes({"kind": kind, "state": state}, as_json))
        return
    given = {"kind": kind, "run": run, "state": state, "limit": limit, "cursor": cursor}
    loop.run(lists.listed(handlers.list_jobs, shapes.JobQuery, given, "jobs", lines.jobs, all_of_them, as_json))


async def _causes(given: Mapping[str, Any], as_json: bool) -> None:
    from receiver import shapes
    from receiver.api import jobs as handlers
    from receiver.cli import asking, lines, opening

    query = asking.parameters(shapes.CauseQuery, given)
    async with opening.existing() as store:
        found = await asking.ask(store, handlers.list_causes, shapes.Causes, query=query)
    if not as_json:
        lines.causes(found.causes)
        return
    for each in found.causes:
        print(escaped.one_line(each.model_dump_json(by_alias=True)))


@VERBS.command()
def retry(
    job: Annotated[
        str | None, typer.Argument(metavar="ID", help="A job, as `runledger jobs` lists it.", show_default=False)
    ] = None,
    kind: Kind = None,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="failing or dead.")] = None,
    cause: Cause = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell which jobs are meant.")] = False,
    as_json: options.Json = False,
) -> None:
    """Make jobs due now, whatever their back-off.

    Without an ID: all that fail or were given up and are what is named.

    \b
    Examples:
      runledger jobs retry 019a2f7c-0000-7000-8000-000000000000
      runledger jobs retry --kind notify
      runledger jobs retry --kind settle --cause '503' --dry-run
    """
    chosen = {"kind": kind, "state": state, "cause": cause}
    if (job is None) != any(chosen.values()) or (job is not None and dry_run):
        raise sentences.Complaint("name one job, or some by --kind, --state or --cause", sentences.USAGE)
    loop.run(_retry_all({**chosen, "dryRun": dry_run}, as_json) if job is None else _retry(job, as_json))


async def _retry(job_id: str, as_json: bool) -> None:
    from receiver import shapes
    from receiver.api import jobs as handlers
    from receiver.cli import asking, opening

    async with opening.existing() as store:
        job = await asking.ask(store, handlers.retry_job, shapes.Job, named=job_id)
        if as_json:
            print(escaped.one_line(job.model_dump_json(by_alias=True)))
        else:
            print(f"The {job.kind} job is due now. {(await asking.who_works(store))[1]}")


async def _retry_all(chosen: Mapping[str, Any], as_json: bool) -> None:
    from receiver import shapes
    from receiver.api import jobs as handlers
    from receiver.cli import asking, lines, opening

    body = await asking.body(shapes.Retry, chosen)
    async with opening.existing() as store:
        found = await asking.ask(store, handlers.retry_jobs, shapes.Retried, body=body)
        said = (await asking.who_works(store))[1]
    if as_json:
        print(escaped.one_line(found.model_dump_json(by_alias=True)))
        return
    if found.count:
        lines.causes(found.causes)
    if found.dry_run:
        print(f"Due now without --dry-run: {found.count:,}.")
    else:
        print(f"Due now: {found.count:,}." + (f" {said}" if found.count else ""))
