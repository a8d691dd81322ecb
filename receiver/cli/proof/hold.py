"""Commands about legal holds."""

from __future__ import annotations

from typing import Annotated

from receiver.api.proof import holds
from receiver.cli import api_calls, event_loop, options, target
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.parameters import argument, flag, option
from receiver.cli.render import lists, results, table
from receiver.cli.render.table import Column, Listing
from receiver.schemas import retention
from storage import states

app = event_loop.commands(no_args_is_help=True, help="Legal holds: what they cover is not removed.")

HOLDS: Listing[retention.Hold] = Listing(
    "No holds: `runledger hold place` places one.",
    Column("id", lambda hold: hold.id),
    Column("scope", lambda hold: hold.scope),
    Column("state", lambda hold: table.state("released" if hold.released_at else "open")),
    Column("placed", lambda hold: lists.ago(hold.placed_at), 1, right=True),
    Column("by", lambda hold: hold.placed_by, 2),
    Column("target", lambda hold: hold.target, flexible=True),
    Column("reason", lambda hold: hold.reason, 1, flexible=True),
)
Reason = Annotated[str, option("TEXT", "Why. It stays in the ledger for ever: name a case or a rule, no person.")]


@app.command()
async def place(
    reason: Reason,
    run: Annotated[str | None, option("RUN", "This run, by our id or the upstream's.")] = None,
    tag: Annotated[str | None, option("KEY=VALUE", "All runs that have this tag.")] = None,
    query: Annotated[str | None, option("QUESTION", "All runs that match, in the filter language.")] = None,
    as_json: options.Json = False,
) -> None:
    """Place a hold: what it covers is neither erased nor removed by age.

    What a tag or a question covers is decided at each removal, so runs that
    come later are covered too. Ages in a question count from now.

    \b
    Examples:
      runledger hold place --tag matter=0042 --reason "Litigation 0042"
      runledger hold place --run run_01hx --reason "Complaint 7"
      runledger hold place --query 'agent:agent_1 cost:>1' --reason "Audit"
    """
    given = {states.HoldScope.RUN: run, states.HoldScope.TAG: tag, states.HoldScope.QUESTION: query}
    named = {scope: target for scope, target in given.items() if target is not None}
    if len(named) != 1:
        raise CommandError("give one of --run, --tag and --query", USAGE)
    ((scope, what),) = named.items()
    body = api_calls.body(retention.NewHold, {"scope": scope.value, "target": what, "reason": reason})
    async with target.opened() as store:
        found = await api_calls.ask(store, holds.place_hold, retention.Hold, body=body)
    results.one(found, lambda hold: print(f"The hold {hold.id} is placed."), as_json=as_json)


@app.command("list")
async def list_holds(
    released: Annotated[bool, flag("--released", "Released ones too.")] = False,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    every_page: options.All = False,
    as_json: options.Json = False,
) -> None:
    """List holds, newest first.

    \b
    Example:
      runledger hold list --released --all
    """
    state = "all" if released else "open"
    query = api_calls.parameters(retention.HoldQuery, {"state": state, "limit": limit, "cursor": cursor})
    await results.pages(
        holds.list_holds, retention.Holds, query, "holds", HOLDS, every_page=every_page, as_json=as_json
    )


@app.command()
async def release(
    hold: Annotated[str, argument("ID", "A hold, as `runledger hold list` shows it.")],
    as_json: options.Json = False,
) -> None:
    """Release a hold.

    \b
    Example:
      runledger hold release 019a2f7c-0000-7000-8000-000000000000
    """
    async with target.opened() as store:
        found = await api_calls.ask(store, holds.release_hold, retention.Hold, path_id=hold)
    results.one(found, lambda each: print(f"The hold {each.id} is released."), as_json=as_json)
