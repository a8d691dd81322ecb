"""One run: what is known of it, its trace, its story, the upstream's answer."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from receiver import escaped
from receiver.cli import loop, options

VERBS = typer.Typer()

#: Steps that are read at once.
PAGE = 250


@VERBS.command()
def show(
    run: options.Run,
    follow: Annotated[
        bool, typer.Option("--follow", help="Draw the events of its stream until it has ended.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show one run with all that was asked and came back.

    With --follow its events come from Case.dev with your key, or from the
    database where they were captured.

    \b
    Examples:
      runledger show run_01hx
      runledger show run_01hx --follow
    """
    if not follow:
        loop.run(_show(run, as_json))
        return
    from receiver.cli import streaming

    with contextlib.suppress(KeyboardInterrupt):  # the run goes on
        loop.run(streaming.follow(run, as_json))


async def _show(run_id: str, as_json: bool) -> None:
    from receiver import shapes
    from receiver.api import runs
    from receiver.cli import asking, opening, sheets

    async with opening.existing() as store:
        found = await asking.ask(store, runs.get_run, shapes.FullRun, named=run_id)
    if as_json:
        print(escaped.one_line(found.model_dump_json(by_alias=True)))
    else:
        sheets.run(found)


@VERBS.command()
def steps(
    run: options.Run,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The first so many; all of them without it.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List what the agent thought and did, step by step.

    \b
    Example:
      runledger steps run_01hx --json
    """
    loop.run(_steps(run, limit, as_json))


async def _steps(run_id: str, limit: int | None, as_json: bool) -> None:
    from receiver import shapes
    from receiver.api import runs
    from receiver.cli import asking, lines, opening

    found: list[shapes.Step] = []
    query = shapes.StepQuery(limit=min(limit or PAGE, PAGE))
    async with opening.existing() as store:
        async for page in asking.pages(store, runs.list_steps, query, named=run_id, all_of_them=True):
            found += page.steps
            if limit is not None and len(found) >= limit:
                break
    found = found[:limit]
    if not as_json:
        lines.steps(found)
        return
    for step in found:
        print(escaped.one_line(step.model_dump_json(by_alias=True)))


@VERBS.command()
def timeline(run: options.Run, as_json: options.Json = False) -> None:
    """Tell what happened to a run, oldest first.

    \b
    Example:
      runledger timeline run_01hx
    """
    loop.run(_timeline(run, as_json))


async def _timeline(run_id: str, as_json: bool) -> None:
    from receiver import shapes
    from receiver.api import runs
    from receiver.cli import asking, lines, opening

    async with opening.existing() as store:
        found = await asking.ask(store, runs.get_timeline, shapes.Timeline, named=run_id)
    if not as_json:
        lines.timeline(found.timeline)
        return
    for entry in found.timeline:
        print(escaped.one_line(entry.model_dump_json(by_alias=True)))


@VERBS.command()
def document(
    run: options.Run,
    version: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Which; the last one without it.")
    ] = None,
) -> None:
    """Print the upstream's answer, byte for byte.

    \b
    Examples:
      runledger document run_01hx > run_01hx.json
      runledger document run_01hx | jq .result
    """
    loop.run(_document(run, version))


async def _document(run_id: str, version: int | None) -> None:
    from receiver import shapes
    from receiver.api import runs
    from receiver.cli import asking, opening

    query = shapes.DocumentQuery(version=version)
    async with opening.existing() as store:
        answer = await asking.raw(store, runs.get_document, run_id, query)
    assert isinstance(answer.body, bytes)
    sys.stdout.buffer.write(answer.body)
    sys.stdout.buffer.flush()
