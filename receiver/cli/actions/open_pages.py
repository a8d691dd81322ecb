"""The command that opens the pages, signed in by a link that works once."""

from __future__ import annotations

import contextlib
import webbrowser
from datetime import timedelta
from typing import Annotated, NamedTuple
from urllib.parse import quote

from receiver import clock, settings
from receiver.api import runs
from receiver.cli import api_calls, event_loop, open_database, target
from receiver.cli.commands import keys
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.options import Json
from receiver.cli.parameters import argument, flag, option
from receiver.cli.remote import profiles
from receiver.cli.render import json_lines, results
from receiver.schemas import notification
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
    run: Annotated[str | None, argument("RUN", "Its page, by our id or the upstream's.")] = None,
    key: Annotated[str | None, option("ID|NAME", "Sign in as this API key.")] = None,
    address: Annotated[str, option("URL", "The server's address; default: RUNLEDGER_PUBLIC_URL.")] = "",
    only_print: Annotated[bool, flag("--print", "Print the link, and open no browser.")] = False,
    as_json: Json = False,
) -> None:
    """Open the pages in a browser, signed in by a link that works once.

    The link works for ten minutes. Without --key it signs in as the key
    `operator`, which has all scopes and is created if missing. For a server
    that is chosen it is the plain address, where you sign in with your key.

    \b
    Examples:
      runledger open
      runledger open run_01hx
      runledger open --key backend --print
    """
    chosen = profiles.chosen()
    if chosen is not None:
        if key or address:
            raise CommandError("--key and --address make a link on the server's own machine", USAGE)
        await _open_server(chosen.url, run, only_print=only_print, as_json=as_json)
        return
    given = settings.load()
    if given.pages == "off":
        raise CommandError("RUNLEDGER_PAGES is off: this server shows no pages")
    async with open_database.existing(given) as store:
        made = await link(store, address or given.public_url or ADDRESS, LIFETIME, key)
        page = "" if run is None else f"?next={quote(await _page(store, run))}"
    shown = made.address + page
    if as_json:
        until = column_types.instant_text(made.stored.expires_at)
        json_lines.mapping({"address": shown, "key": made.key.name, "expiresAt": until})
        return
    print(shown)
    print(f"This signs in once, as the key {made.key.name} ({', '.join(made.key.scopes)}), within ten minutes.")
    if not only_print and (browser := _browser()):
        browser.open(shown)


async def _open_server(url: str, run: str | None, *, only_print: bool, as_json: bool) -> None:
    """Open a page of a server, which asks for a key."""
    path = "/"
    if run is not None:
        async with target.opened() as store:
            path = await _page(store, run)
    address = url.rstrip("/") + path
    results.sentence({"address": address, "key": None, "expiresAt": None}, address, as_json=as_json)
    if not (only_print or as_json) and (browser := _browser()):
        browser.open(address)


async def _page(store: target.Target, run: str) -> str:
    """Return the path of a run's page. Raises NotFound."""
    found = await api_calls.ask(store, runs.get_run, notification.FullRun, path_id=run)
    return f"/runs/{found.id}"


async def link(store: database.Database, address: str, lifetime: timedelta, name: str | None = None) -> Link:
    """Return a new link that signs in as the key with this name. Raise CommandError where there is no such key."""
    now = (await open_database.shared_clock(store))()
    key = await _operator(store) if name is None else await _named(store, name)
    if key.revoked_at is not None:
        raise CommandError(f"the key {key.id} ({key.name}) is revoked")
    stored, token = authentication.mint_link(key.id, now, lifetime)
    await store.write(api_key_changes.create_link, key, stored)
    return Link(f"{address.rstrip('/')}/sign-in/{token}", key, stored)


async def _named(store: database.Database, name: str) -> api_keys.Key:
    """Return a key by its id or its name. Raises CommandError."""
    found = await store.read(api_keys.find, (await keys.find_key(store, name)).id)
    assert found is not None, "it was listed"
    return found


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
