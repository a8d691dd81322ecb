"""Commands that change a run that is stored: its tags."""

from __future__ import annotations

from typing import Annotated

import typer

from receiver.api import run_changes
from receiver.cli import event_loop, local_api, open_database, options
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.parameters import option
from receiver.cli.render import format as render_format
from receiver.cli.render import results
from receiver.schemas import bodies, responses

app = event_loop.commands()


@app.command()
async def tag(
    run: options.Run,
    given: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="Tags to set.", show_default=False)
    ] = None,
    remove: Annotated[list[str] | None, option("KEY", "Remove this tag; repeat it.")] = None,
    as_json: options.Json = False,
) -> None:
    """Set and remove tags of a run; the others stay.

    \b
    Examples:
      runledger tag run_01hx reviewed=yes matter=0042
      runledger tag run_01hx --remove reviewed
    """
    changes: dict[str, str | None] = {**options.tags(given, ""), **dict.fromkeys(remove or [])}
    if not changes:
        raise CommandError("give KEY=VALUE or --remove KEY", USAGE)
    body = local_api.body(bodies.TagChanges, {"tags": changes})
    async with open_database.existing() as store:
        found = await local_api.ask(store, run_changes.change_tags, responses.Run, path_id=run, body=body)
    results.one(found, _show_tags, as_json=as_json)


def _show_tags(run: responses.Run) -> None:
    tags = ", ".join(f"{key}={render_format.line(value)}" for key, value in run.tags.items())
    print(f"{run.id} has {f'the tags {tags}' if tags else 'no tags'}.")
