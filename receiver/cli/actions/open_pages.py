"""The command that opens the pages, signed in by a link that works once."""

from __future__ import annotations

import contextlib
import webbrowser
from datetime import timedelta
from typing import Annotated, NamedTuple

from receiver import clock, settings
from receiver.cli import event_loop, open_database
from receiver.cli.commands import keys
from receiver.cli.errors import CommandError
from receiver.cli.options import Json
from receiver.cli.parameters import flag, option
from receiver.cli.render import json_lines
from receiver.web import authentication
from storage.engine import column_types, database
from storage.repositories import api_keys
from storage.transitions import api_key_changes

app = event_loop.commands()

#: The key that a link signs in as unless one is named; its text is stored nowhere.
OPERATOR = "operator"
LIFETIME = timedelta(minutes=10)
#: Where `runledger serve` listens unless its options say otherwise.
ADDRESS = "http://127.0.0.1:8080"


class Link(NamedTuple):
    """A link to the pages, and the key that it signs in as."""

    address: str
    key: api_keys.Key
    stored: api_keys.SignInLink


@app.command("open")
async def open_pages(
    key: Annotated[str | None, option("ID|NAME", "Sign in as this API key.")] = None,
    address: Annotated[str, option("URL", "The server's address; default: RUNLEDGER_PUBLIC_URL.")] = "",
    only_print: Annotated[bool, flag("--print", "Print the link, and open no browser.")] = False,
    as_json: Json = False,
) -> None:
    """Open the pages in a browser, signed in by a link that works once.

    The link works for ten minutes. Without --key it signs in as the key
    `operator`, which has all scopes and is created if missing.

    \b
    Examples:
      runledger open
      runledger open --key backend --print
    """
    given = settings.load()
    if given.pages == "off":
        raise CommandError("RUNLEDGER_PAGES is off: this server shows no pages")
    async with open_database.existing(given) as store:
        made = await link(store, address or given.public_url or ADDRESS, LIFETIME, key)
    if as_json:
        until = column_types.instant_text(made.stored.expires_at)
        json_lines.mapping({"address": made.address, "key": made.key.name, "expiresAt": until})
        return
    print(made.address)
    print(f"This signs in once, as the key {made.key.name} ({', '.join(made.key.scopes)}), within ten minutes.")
    if not only_print and (browser := _browser()):
        browser.open(made.address)


async def link(store: database.Database, address: str, lifetime: timedelta, name: str | None = None) -> Link:
    """Return a new link that signs in as the key with this name. Raise CommandError where there is no such key."""
    now = (await open_database.shared_clock(store))()
    key = await _operator(store) if name is None else await keys.find_key(store, name)
    if key.revoked_at is not None:
        raise CommandError(f"the key {key.id} ({key.name}) is revoked")
    stored, token = authentication.mint_link(key.id, now, lifetime)
    await store.write(api_key_changes.create_link, key, stored)
    return Link(f"{address.rstrip('/')}/sign-in/{token}", key, stored)


async def _operator(store: database.Database) -> api_keys.Key:
    """Return the key `operator`, which is created where it is missing."""
    for known in await store.read(api_keys.list_all):
        if known.name == OPERATOR and known.revoked_at is None and set(known.scopes) == set(authentication.Scope):
            return known
    made, _ = authentication.mint(OPERATOR, authentication.Scope, clock.now())
    await store.write(api_key_changes.create_key, made)
    return made


def _browser() -> webbrowser.BaseBrowser | None:
    """Return the browser of this desktop; None where there is none, or one that would take over the terminal."""
    with contextlib.suppress(webbrowser.Error):
        found = webbrowser.get()
        return None if type(found) is webbrowser.GenericBrowser else found
    return None
