"""Keeping house: the schema, a sweep out of turn."""

from __future__ import annotations

import json

import typer

from receiver.cli import loop, options

VERBS = typer.Typer()


@VERBS.command()
def sweep(as_json: options.Json = False) -> None:
    """Ask the upstream about all open runs now.

    \b
    Example:
      runledger sweep
    """
    loop.run(_sweep(as_json))


async def _sweep(as_json: bool) -> None:
    from receiver.cli import asking, opening
    from storage import jobs, states

    async with opening.existing() as store:
        now = (await opening.shared_clock(store))()
        await store.write(jobs.wish, [jobs.Wish(states.Kind.SWEEP, "", now, hurry=True)])
        works, said = await asking.who_works(store)
    if as_json:
        print(json.dumps({"wished": states.Kind.SWEEP.value, "workerSeen": works}))
    else:
        print(f"A sweep is due now. {said}")


@VERBS.command()
def migrate(as_json: options.Json = False) -> None:
    """Bring the database to the schema of this release.

    `serve` does so by itself on an embedded one.

    \b
    Example:
      runledger migrate
    """
    loop.run(_migrate(as_json))


async def _migrate(as_json: bool) -> None:
    from receiver.cli import opening
    from storage import migrations

    async with opening.as_it_is() as store:
        before = await store.read(migrations.current)
        await store.write(migrations.upgrade)
        now = await store.read(migrations.current)
    if as_json:
        print(json.dumps({"before": before, "now": now}))
        return
    print(
        f"The database is at schema {now}" + (" already." if before == now else f"; it was at {before or 'none'}.")
    )
