"""Commands about saved views of the list of runs."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from receiver import clock
from receiver.api import keys, views
from receiver.cli import api_calls, event_loop, options, target
from receiver.cli.errors import CommandError
from receiver.cli.parameters import argument, flag, option
from receiver.cli.render import results
from receiver.cli.render.table import Column, Listing
from receiver.schemas import actions, management
from storage.query import grammar

app = event_loop.commands(no_args_is_help=True, help="List, save and delete views of the list of runs.")

VIEWS: Listing[actions.View] = Listing(
    "No views: `runledger views save NAME QUERY` saves one.",
    Column("id", lambda view: view.id),
    Column("name", lambda view: view.name),
    Column("owner", lambda view: view.owner),
    Column("shared", lambda view: "yes" if view.is_shared else "no"),
    Column("question", lambda view: view.question, 1, flexible=True),
)


@app.command("list")
async def list_views(as_json: options.Json = False) -> None:
    """List the shared views, and those that this command saved.

    \b
    Example:
      runledger views list
    """
    async with target.opened() as store:
        found = await _all(store)
    results.rows(found, VIEWS, as_json=as_json)


@app.command()
async def save(
    name: Annotated[str, argument("NAME", "The name; a view that has it is replaced.")],
    query: Annotated[str, argument("QUERY", "A filter in the filter language.")],
    sort: options.Sort = "",
    column: Annotated[list[str] | None, option("NAME", "A column; repeatable, in order.")] = None,
    private: Annotated[bool, flag("--private", "Do not share it.")] = False,
    as_json: options.Json = False,
) -> None:
    """Save a view, which everybody sees on the pages.

    \b
    Examples:
      runledger views save "Failed last night" 'status:failed settled:>-12h'
      runledger views save Costly 'cost:>1' --sort -cost --column cost
    """
    grammar.parse(query, clock.now())
    question = urlencode([(key, value) for key, value in (("q", query), ("sort", sort)) if value])
    content = {"name": name, "question": question, "columns": column or None, "isShared": not private}
    body = api_calls.body(actions.NewView, content)
    async with target.opened() as store:
        owner = (await api_calls.ask(store, keys.get_caller, management.Caller)).name
        same = [each for each in await _all(store) if each.owner == owner and each.name == name]
        if same:
            found = await api_calls.ask(store, views.replace_view, actions.View, path_id=same[0].id, body=body)
        else:
            found = await api_calls.ask(store, views.save_view, actions.View, body=body)
    results.one(found, lambda view: print(f"The view {view.name!r} is saved as {view.id}."), as_json=as_json)


@app.command()
async def delete(
    view: Annotated[str, argument("ID|NAME", "A view, as `runledger views list` shows it.")],
    as_json: options.Json = False,
) -> None:
    """Delete a view.

    \b
    Example:
      runledger views delete "Failed last night"
    """
    async with target.opened() as store:
        found = [each for each in await _all(store) if view in (each.id, each.name)]
        if len(found) != 1:
            count = "no view has" if not found else f"{len(found)} views have"
            raise CommandError(f"{count} the id or name {view!r}: see `runledger views list`")
        await api_calls.call(store, views.delete_view, found[0].id)
    results.one(found[0], lambda gone: print(f"The view {gone.name!r} is deleted."), as_json=as_json)


async def _all(store: target.Target) -> list[actions.View]:
    return list((await api_calls.ask(store, views.list_views, actions.Views)).views)
