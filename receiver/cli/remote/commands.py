"""Commands that choose the server on which the others work."""

from __future__ import annotations

import getpass
import sys
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel

from receiver import client
from receiver.cli import event_loop, options
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.parameters import argument, option
from receiver.cli.remote import profiles
from receiver.cli.render import results
from receiver.cli.render.table import Column, Listing

app = event_loop.commands()

DEFAULT = "default"
Name = Annotated[str, option("NAME", "The name under which it is kept.")]


class Known(BaseModel):
    """A profile without its key."""

    name: str
    url: str
    current: bool


PROFILES: Listing[Known] = Listing(
    "No servers: `runledger login URL` chooses one. Commands work on the store of this machine.",
    Column("", lambda each: "*" if each.current else ""),
    Column("name", lambda each: each.name),
    Column("server", lambda each: each.url, flexible=True),
)


@app.command()
async def login(
    url: Annotated[str, argument("URL", "The address of the server.")],
    profile: Name = DEFAULT,
    as_json: options.Json = False,
) -> None:
    """Choose a deployed server, on which the commands then work.

    It asks for an API key, or reads it from standard input, tries it, and keeps
    it in your configuration folder, in a file that only you can read.

    \b
    Examples:
      runledger login https://runledger.example.com
      runledger login https://runledger.example.com --profile staging < key.txt
    """
    if profile == profiles.LOCAL:
        raise CommandError("the profile local is the store of this machine: give another name", USAGE)
    given = profiles.Profile(url.rstrip("/"), _key(url))
    whose = await _try(given)
    known = profiles.read().known
    profiles.write(profiles.Profiles(profile, {**known, profile: given}))
    about = f"Commands work on {given.url} from now on{whose}. `runledger logout` ends that."
    results.one(Known(name=profile, url=given.url, current=True), lambda _: print(about), as_json=as_json)


def _key(url: str) -> str:
    """Return the key that a person types, or that standard input has. Raises CommandError."""
    with event_loop.interruptible():
        text = getpass.getpass(f"API key for {url}: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not (key := text.strip()):
        raise CommandError("there is no API key: type it, or give it on standard input", USAGE)
    return key


async def _try(given: profiles.Profile) -> str:
    """Return whose key it is, in words. Raises CommandError where the server does not accept it."""
    # Slow to import, and only needed here.
    from receiver.cli.remote import server

    found = server.Server(given)
    async with found.client:
        try:
            caller = await found.client.request("GET", "/v1/caller")
        except client.NotPermitted:  # a key that may only submit
            return ""
        except client.NotAuthenticated:
            raise CommandError(f"{given.url} does not accept this API key: nothing was stored") from None
        except client.RunledgerError as failure:
            raise CommandError(f"{failure}; nothing was stored") from None
    return f", with the key {caller['name']} ({', '.join(caller['scopes'])})"


@app.command()
def logout(
    profile: Annotated[str | None, option("NAME", "Which one; default: the one in use.")] = None,
    as_json: options.Json = False,
) -> None:
    """Forget a server, and its key.

    \b
    Example:
      runledger logout --profile staging
    """
    found = profiles.read()
    name = profile or found.current or ""
    gone = found.known.get(name)
    if gone is None:
        raise CommandError("there is no such server: `runledger profiles` lists those that are known")
    rest = {each: known for each, known in found.known.items() if each != name}
    profiles.write(profiles.Profiles(None if found.current == name else found.current, rest))
    shown = Known(name=name, url=gone.url, current=False)
    results.one(shown, lambda each: print(f"{each.url} is forgotten."), as_json=as_json)


@app.command("profiles")
def list_profiles(
    use: Annotated[str | None, option("NAME", "Work on this one from now on; local: on this machine.")] = None,
    as_json: options.Json = False,
) -> None:
    """List the servers that are known, or choose another.

    RUNLEDGER_URL, RUNLEDGER_PROFILE and --profile come before the one in use.

    \b
    Examples:
      runledger profiles
      runledger profiles --use local
    """
    found = profiles.read()
    if use is not None:
        if use not in (profiles.LOCAL, *found.known):
            raise CommandError(f"there is no server {use!r}: `runledger profiles` lists those there are", USAGE)
        found = replace(found, current=use)
        profiles.write(found)
    known = [Known(name=name, url=each.url, current=name == found.current) for name, each in found.known.items()]
    results.rows(known, PROFILES, as_json=as_json)
