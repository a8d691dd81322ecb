"""Commands that do one thing with many runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from receiver.api import bulk_actions
from receiver.cli import api_calls, event_loop, options, target
from receiver.cli.errors import FAILED, USAGE, CommandError
from receiver.cli.parameters import flag, option
from receiver.cli.render import format as render_format
from receiver.cli.render import lists, progress, results, table, terminal
from receiver.cli.render.table import Column, Listing
from receiver.schemas import actions, query_parameters
from storage import states

app = event_loop.commands()

_BAR = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
#: Seconds between two looks at the progress, and for which it is looked at.
_INTERVAL, _FOREVER = 0.3, 1e8
Bulk = Annotated[str, typer.Argument(metavar="ID", help="The id that `start` printed.", show_default=False)]


BULK: Listing[actions.BulkAction] = Listing(
    "No bulk actions: `runledger bulk start ACTION QUERY` begins one.",
    Column("id", lambda each: each.id),
    Column("action", lambda each: each.action),
    Column("state", lambda each: table.state(each.state)),
    Column("done", lambda each: render_format.count(each.done), right=True),
    Column("failed", lambda each: render_format.count(each.failed), right=True),
    Column("of", lambda each: f"{render_format.count(each.total)}{'' if each.is_exact else '+'}", right=True),
    Column("by", lambda each: each.submitted_by, 2),
    Column("begun", lambda each: lists.ago(each.created_at), 1, right=True),
    Column("question", lambda each: "the runs listed" if each.question is None else each.question, flexible=True),
)


@app.callback(invoke_without_command=True)
async def list_bulk(
    context: typer.Context,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    every_page: options.All = False,
    as_json: options.Json = False,
) -> None:
    """Do one thing with many runs, or list what was done.

    A running server carries it out, as a job.

    \b
    Examples:
      runledger bulk
      runledger bulk start cancel 'status:queued created:<-1d' --dry-run
    """
    if context.invoked_subcommand is not None:
        return
    query = api_calls.parameters(query_parameters.BulkQuery, {"limit": limit, "cursor": cursor})
    await results.pages(
        bulk_actions.list_bulk, actions.BulkActions, query, "actions", BULK, every_page=every_page, as_json=as_json
    )


@app.command()
async def start(
    action: Annotated[states.BulkKind, typer.Argument(metavar="ACTION", help=options.one_of(states.BulkKind))],
    query: Annotated[
        str | None, typer.Argument(metavar="QUERY", help="The runs, in the filter language.", show_default=False)
    ] = None,
    run: Annotated[list[str] | None, option("RUN", "A run, in place of QUERY; repeatable.")] = None,
    set_tag: Annotated[
        list[str] | None, option("KEY=VALUE", "For tag: a tag to set; repeatable.", "--set")
    ] = None,
    remove: Annotated[list[str] | None, option("KEY", "For tag: a tag to remove; repeatable.")] = None,
    dry_run: Annotated[bool, flag("--dry-run", "Only count the runs.")] = False,
    yes: Annotated[bool, flag("--yes", "Do not ask.")] = False,
    no_wait: Annotated[bool, flag("--no-wait", "Do not wait until it is done.")] = False,
    as_json: options.Json = False,
) -> None:
    """Do something with all runs that match, or with those that are named.

    The running server carries it out, and continues after a restart. Runs that
    are accepted later are left alone. Ctrl-C ends the waiting, not the action.

    \b
    Examples:
      runledger bulk start cancel 'status:queued created:<-1d' --dry-run
      runledger bulk start again 'status:failed settled:>-12h' --yes
      runledger bulk start tag 'tag.matter:0042' --set reviewed=yes
      runledger bulk start refresh --run run_01hx --run run_01hy --yes
    """
    tags = {**options.tags(set_tag, "--set "), **dict.fromkeys(remove or [])}
    content: dict[str, object] = {"action": action.value, "q": query, "runIds": run or None, "tags": tags or None}
    async with target.opened() as store:
        planned = await _start(store, content | {"dryRun": True})
        if dry_run:
            results.one(planned, _show_planned, as_json=as_json)
            return
        if not yes:
            _demand_yes(planned)
        made = await _start(store, content)
        if not no_wait:
            made = await _finished(store, made)
    results.one(made, _show, as_json=as_json)
    if made.failed:
        raise typer.Exit(FAILED)


async def _start(store: target.Target, content: Mapping[str, object]) -> actions.BulkAction:
    body = api_calls.body(actions.BulkRequest, content)
    return await api_calls.ask(store, bulk_actions.start_bulk, actions.BulkAction, body=body)


def _demand_yes(planned: actions.BulkAction) -> None:
    question = f"{_verb(planned)} {_count(planned)}?"
    if not terminal.can_ask():
        raise CommandError(f"there is no terminal to ask on: {question} Add --yes, or --dry-run", USAGE)
    if not terminal.is_yes(question):
        raise CommandError("nothing was done")


async def _finished(store: target.Target, made: actions.BulkAction) -> actions.BulkAction:
    """Return the action once it is over. Raise CommandError where no worker is alive to do it."""
    worker = await api_calls.worker_status(store)
    if not worker.is_alive:
        raise CommandError(f"the bulk action {made.id} is stored. {worker.message}")
    with progress.bar(_verb(made).lower(), made.total, *_BAR) as update:

        async def look() -> actions.BulkAction:
            found = await _get(store, made.id or "")
            handled = found.done + found.failed
            update(completed=handled, total=max(found.total, handled))
            return found

        return await event_loop.until(lambda found: found.state != "running", look, _FOREVER, _INTERVAL)


@app.command()
async def show(bulk: Bulk, as_json: options.Json = False) -> None:
    """Show how far a bulk action has come.

    \b
    Example:
      runledger bulk show 019a2f7c-0000-7000-8000-000000000000
    """
    async with target.opened() as store:
        results.one(await _get(store, bulk), _show, as_json=as_json)


@app.command()
async def stop(bulk: Bulk, as_json: options.Json = False) -> None:
    """Stop a bulk action. What is done stays done.

    \b
    Example:
      runledger bulk stop 019a2f7c-0000-7000-8000-000000000000
    """
    async with target.opened() as store:
        found = await api_calls.ask(store, bulk_actions.stop_bulk, actions.BulkAction, path_id=bulk)
    results.one(found, _show, as_json=as_json)


async def _get(store: target.Target, bulk: str) -> actions.BulkAction:
    return await api_calls.ask(store, bulk_actions.get_bulk, actions.BulkAction, path_id=bulk)


def _verb(action: actions.BulkAction) -> str:
    return {
        states.BulkKind.CANCEL: "Cancel",
        states.BulkKind.REFRESH: "Fetch again",
        states.BulkKind.RETRY_NOTIFICATION: "Notify again of",
        states.BulkKind.TAG: "Tag",
        states.BulkKind.AGAIN: "Run again",
    }[action.action]


def _count(action: actions.BulkAction) -> str:
    noun = "run" if action.total == 1 and action.is_exact else "runs"
    return f"{'' if action.is_exact else 'more than '}{render_format.count(action.total)} {noun}"


def _show_planned(action: actions.BulkAction) -> None:
    print(f"{_verb(action)} {_count(action)}.")


def _show(action: actions.BulkAction) -> None:
    done, failed = render_format.count(action.done), render_format.count(action.failed)
    print(f"{action.id} is {action.state}: {done} done, {failed} failed, of {_count(action)}.")
    for each in action.errors:
        print(f"  {each.run_id or '–'}: {render_format.line(each.error)}")
