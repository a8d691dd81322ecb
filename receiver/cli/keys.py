"""API keys: made, listed, revoked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from receiver.cli import loop, options, sentences

if TYPE_CHECKING:
    from storage import database, keys

VERBS = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")


@VERBS.command()
def create(
    name: Annotated[str, typer.Argument(help="Who will use it; the ledger calls it so.")],
    scope: Annotated[
        list[str],
        typer.Option(
            metavar="SCOPE",
            help="submit, read or admin; repeat it.",
            autocompletion=options.words("submit", "read", "admin"),
        ),
    ],
    as_json: options.Json = False,
) -> None:
    """Make a key. It is shown once: only a digest is stored.

    \b
    Examples:
      runledger keys create backend --scope submit --scope read
      KEY=$(runledger keys create ci --scope read --json | jq -r .key)
    """
    loop.run(_create(name, scope, as_json))


async def _create(name: str, scopes: list[str], as_json: bool) -> None:
    from receiver import access, clock
    from receiver.cli import opening
    from storage import transitions

    wanted = [each.strip() for scope in scopes for each in scope.split(",")]
    key, text = access.mint(name, wanted, clock.now())
    async with opening.made() as store:
        await store.write(transitions.create_key, key)
    if as_json:
        print(json.dumps(_shown(key) | {"key": text}))
        return
    print(text)
    print(f"This is shown once. It may {', '.join(key.scopes)}; `runledger keys revoke {key.id}` ends it.")


@VERBS.command("list")
def list_keys(as_json: options.Json = False) -> None:
    """List all keys, without their secrets.

    \b
    Example:
      runledger keys list
    """
    loop.run(_list(as_json))


async def _list(as_json: bool) -> None:
    from receiver.cli import opening
    from storage import keys

    async with opening.existing() as store:
        found = await store.read(keys.all_of_them)
    if as_json:
        for key in found:
            print(json.dumps(_shown(key)))
    else:
        _show(found)


def _show(found: list[keys.Key]) -> None:
    from receiver import clock
    from receiver.cli import figures, tables

    if not found:
        print("No keys: `runledger keys create NAME --scope submit` makes one.")
        return
    now = clock.now()
    rows = [
        (
            key.id,
            key.name,
            " ".join(key.scopes),
            tables.state("revoked" if key.revoked_at else "live"),
            figures.age(key.created_at, now),
            figures.age(key.last_used_at, now),
        )
        for key in found
    ]
    column = tables.Column
    heads = (column("id"), column("name"), column("scopes"), column("state"), column("made", 2), column("used", 1))
    tables.show(heads, rows)


@VERBS.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID|NAME", help="A key, as `runledger keys list` shows it.")],
    as_json: options.Json = False,
) -> None:
    """Revoke a key at once.

    \b
    Example:
      runledger keys revoke backend
    """
    loop.run(_revoke(key, as_json))


async def _revoke(named: str, as_json: bool) -> None:
    from receiver import clock
    from receiver.cli import opening
    from storage import transitions

    async with opening.existing() as store:
        chosen = await _chosen(store, named)
        if chosen.revoked_at is not None:
            raise sentences.Complaint(f"the key {chosen.id} ({chosen.name}) was revoked before")
        revoked = await store.write(transitions.revoke_key, chosen.id, clock.now())
    print(json.dumps(_shown(revoked or chosen)) if as_json else f"The key {chosen.id} ({chosen.name}) is revoked.")


async def _chosen(store: database.Database, named: str) -> keys.Key:
    """The key of that id, or the one live key of that name. Raises Complaint."""
    from storage import keys

    found = await store.read(keys.all_of_them)
    named_so = [key for key in found if key.name == named]
    live = [key for key in named_so if key.revoked_at is None]
    chosen = [key for key in found if key.id == named] or live or named_so[:1]
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        raise sentences.Complaint(f"there is no key of the id or name {named!r}: see `runledger keys list`")
    ids = ", ".join(key.id for key in chosen)
    raise sentences.Complaint(f"{len(chosen)} keys are named {named!r}: say which by its id ({ids})")


def _shown(key: keys.Key) -> dict[str, Any]:
    """A key in the API's manner, without anything of its secret."""
    from storage import columns

    def instant(at: Any) -> str | None:
        return None if at is None else columns.text(at)

    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "createdAt": instant(key.created_at),
        "revokedAt": instant(key.revoked_at),
        "lastUsedAt": instant(key.last_used_at),
    }
