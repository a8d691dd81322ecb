"""Keeping house: the schema, a sweep out of turn."""

from __future__ import annotations

import typer

from receiver.cli import loop

VERBS = typer.Typer()


@VERBS.command()
def sweep() -> None:
    """Ask the upstream about all open runs now.

    \b
    Example:
      runledger sweep
    """
    loop.run(_sweep())


async def _sweep() -> None:
    from receiver import clock
    from receiver.cli import asking, opening
    from storage import jobs, states

    async with opening.existing() as store:
        await store.write(jobs.wish, [jobs.Wish(states.Kind.SWEEP, "", clock.now(), hurry=True)])
        print(f"A sweep is due now. {(await asking.who_works(store))[1]}")


@VERBS.command()
def migrate() -> None:
    """Bring the database to the schema of this release.

    `serve` does so by itself on an embedded one.

    \b
    Example:
      runledger migrate
    """
    loop.run(_migrate())


async def _migrate() -> None:
    from receiver.cli import opening
    from storage import migrations

    async with opening.as_it_is() as store:
        before = await store.read(migrations.current)
        await store.write(migrations.upgrade)
        now = await store.read(migrations.current)
    print(
        f"The database is at schema {now}" + (" already." if before == now else f"; it was at {before or 'none'}.")
    )
