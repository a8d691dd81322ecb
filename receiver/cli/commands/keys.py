"""Commands that create, list and revoke API keys."""

from __future__ import annotations

from typing import Annotated

import typer

from receiver import clock
from receiver.api import keys as handlers
from receiver.cli import api_calls, event_loop, options, target
from receiver.cli.errors import CommandError
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, results, table
from receiver.cli.render.table import Column, Listing
from receiver.schemas import bodies, management
from receiver.web import authentication

app = event_loop.commands(no_args_is_help=True, help="Make, list and revoke API keys.")

KEYS: Listing[management.Key] = Listing(
    "No keys: `runledger keys create NAME --scope submit` makes one.",
    Column("id", lambda key: key.id),
    Column("name", lambda key: key.name),
    Column("scopes", lambda key: " ".join(key.scopes)),
    Column("state", lambda key: table.state("revoked" if key.revoked_at else "live")),
    Column("made", lambda key: render_format.age(key.created_at, clock.now()), 2),
    Column("used", lambda key: render_format.age(key.last_used_at, clock.now()), 1),
)


@app.command()
async def create(
    name: Annotated[str, typer.Argument(help="Who will use it; the ledger records this name.")],
    scope: Annotated[list[str], options.choice(authentication.Scope, "SCOPE", "{words}; repeat it.")],
    as_json: options.Json = False,
) -> None:
    """Create a key. It is shown once: only a digest is stored.

    \b
    Examples:
      runledger keys create backend --scope submit --scope read
      KEY=$(runledger keys create ci --scope read --json | jq -r .key)
    """
    scopes = [each.strip() for text in scope for each in text.split(",")]
    authentication.mint(name, scopes, clock.now())  # says what is wrong with it, in the words of this command
    body = api_calls.body(bodies.KeyRequest, {"name": name, "scopes": list(dict.fromkeys(scopes))})
    async with target.opened(creates=True) as store:
        key = await api_calls.ask(store, handlers.create_key, management.NewKey, body=body)
    if as_json:
        json_lines.model(key)
        return
    print(key.key)
    print(f"This is shown once. Scopes: {', '.join(key.scopes)}. `runledger keys revoke {key.id}` revokes it.")


@app.command("list")
async def list_keys(as_json: options.Json = False) -> None:
    """List all keys, without their secrets.

    \b
    Example:
      runledger keys list
    """
    async with target.opened() as store:
        found = await _all(store)
    results.rows(found, KEYS, as_json=as_json)


@app.command()
async def revoke(
    key: Annotated[str, typer.Argument(metavar="ID|NAME", help="A key, as `runledger keys list` shows it.")],
    as_json: options.Json = False,
) -> None:
    """Revoke a key at once.

    \b
    Example:
      runledger keys revoke backend
    """
    async with target.opened() as store:
        chosen = await find_key(store, key)
        if chosen.revoked_at is not None:
            raise CommandError(f"the key {chosen.id} ({chosen.name}) is revoked already")
        revoked = await api_calls.ask(store, handlers.revoke_key, management.Key, path_id=chosen.id)
    results.one(revoked, lambda key: print(f"The key {key.id} ({key.name}) is revoked."), as_json=as_json)


async def _all(store: target.Target) -> list[management.Key]:
    return (await api_calls.ask(store, handlers.list_keys, management.Keys)).keys


async def find_key(store: target.Target, name: str) -> management.Key:
    """Return the key with that id, or the one live key with that name. Raise CommandError."""
    found = await _all(store)
    same_name = [key for key in found if key.name == name]
    live = [key for key in same_name if key.revoked_at is None]
    chosen = [key for key in found if key.id == name] or live or same_name[:1]
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        raise CommandError(f"there is no key with the id or name {name!r}: see `runledger keys list`")
    ids = ", ".join(key.id for key in chosen)
    raise CommandError(f"{len(chosen)} keys are named {name!r}: name one of them by its id ({ids})")
