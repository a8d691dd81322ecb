"""Commands about a run that is stored: change its tags, run it again, notify again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from receiver.api import run_changes
from receiver.cli import api_calls, event_loop, options, target
from receiver.cli.commands import submit
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
    remove: Annotated[list[str] | None, option("KEY", "Remove this tag; repeatable.")] = None,
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
    body = api_calls.body(bodies.TagChanges, {"tags": changes})
    async with target.opened() as store:
        found = await api_calls.ask(store, run_changes.change_tags, responses.Run, path_id=run, body=body)
    results.one(found, _show_tags, as_json=as_json)


def _show_tags(run: responses.Run) -> None:
    tags = ", ".join(f"{key}={render_format.line(value)}" for key, value in run.tags.items())
    print(f"{run.id} has {f'the tags {tags}' if tags else 'no tags'}.")


@app.command()
async def again(
    run: options.Run,
    prompt: Annotated[str | None, option("TEXT", "Replaces its prompt.")] = None,
    prompt_file: Annotated[Path | None, option("FILE", "The same from a file.")] = None,
    guidance: Annotated[str | None, option("TEXT", "Replaces its guidance.")] = None,
    model: Annotated[str | None, option("NAME", "Replaces its model.")] = None,
    tag: Annotated[list[str] | None, option("KEY=VALUE", "Replaces all its tags; repeatable.")] = None,
    as_json: options.Json = False,
) -> None:
    """Run a run again, as a new run that names the first one.

    \b
    Examples:
      runledger again run_01hx
      runledger again run_01hx --model anthropic/claude-haiku-3.5
      runledger again run_01hx --prompt-file edited.txt --json
    """
    if prompt is not None and prompt_file is not None:
        raise CommandError("give --prompt or --prompt-file, not both", USAGE)
    text = prompt if prompt_file is None else submit.read_text(prompt_file, "prompt")
    content = {"prompt": text, "guidance": guidance, "model": model, "tags": options.tags(tag) or None}
    body = api_calls.body(bodies.Again, content)
    async with target.opened() as store:
        found = await api_calls.ask(store, run_changes.run_again, responses.Run, path_id=run, body=body)
        await submit.show(store, found, as_json)


@app.command()
async def notify(run: options.Run, as_json: options.Json = False) -> None:
    """Notify your backend of a run's end again, with the same id and body.

    \b
    Example:
      runledger notify run_01hx
    """
    async with target.opened() as store:
        found = await api_calls.ask(store, run_changes.notify_again, responses.Run, path_id=run)
        await submit.show(store, found, as_json, is_requested=True)
