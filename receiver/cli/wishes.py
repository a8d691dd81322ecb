"""What is wished: a run to be submitted, adopted, cancelled, or fetched again."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from receiver import escaped
from receiver.cli import loop, options, sentences

if TYPE_CHECKING:
    from receiver import shapes
    from receiver.cli import asking
    from storage import database

VERBS = typer.Typer()

Instructions = Annotated[
    str | None, typer.Option(metavar="TEXT", help="In place of --agent: of one that is made for this run alone.")
]

#: Seconds between two looks at a run that is waited for.
LOOK = 0.25


@VERBS.command()
def submit(
    agent: Annotated[str | None, typer.Option(metavar="ID", help="The agent that is to run.")] = None,
    source: Annotated[str | None, typer.Argument(metavar="-", help="The prompt from standard input.")] = None,
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is asked to do.")] = None,
    prompt_file: Annotated[Path | None, typer.Option(metavar="FILE", help="The same from a file.")] = None,
    guidance: Annotated[str | None, typer.Option(metavar="TEXT", help="More to go by, for this run.")] = None,
    instructions: Instructions = None,
    instructions_file: Annotated[Path | None, typer.Option(metavar="FILE", help="The same from a file.")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="In place of the agent's own.")] = None,
    object_id: Annotated[
        list[str] | None, typer.Option("--object", metavar="ID", help="The run may read these only; repeat it.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A label; repeat it.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same key with the same content is the same run.")
    ] = None,
    wait: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="Wait so long for its end; exit 1 if it fails.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Submit a run.

    It is stored before anything is sent; the running server sends it. A run
    of an agent is executed exactly once, one by --instructions at most once.

    \b
    Examples:
      runledger submit --agent agent_1 --prompt "Summarise the lease."
      runledger submit --agent agent_1 --prompt "…" --tag matter=0042
      runledger submit --agent agent_1 --prompt-file task.txt --wait 300
      runledger submit --instructions "You review leases." --prompt-file task.txt
      cat task.txt | runledger submit --agent agent_1 - --json
    """
    content = {
        "agentId": agent,
        "instructions": _instructions(agent, instructions, instructions_file),
        "prompt": _prompt(source, prompt, prompt_file),
        "guidance": guidance,
        "model": model,
        "objectIds": object_id or None,
        "tags": options.tags(tag) or None,
    }
    loop.run(_submit(content, idempotency_key, wait, as_json))


def _instructions(agent: str | None, text: str | None, file: Path | None) -> str | None:
    """The instructions where there is no agent."""
    if sum(each is not None for each in (agent, text, file)) != 1:
        raise sentences.Complaint(
            "give --agent ID, or --instructions TEXT (or --instructions-file FILE) for an agent made for this run",
            sentences.USAGE,
        )
    return text if file is None else _read(file, "instructions")


def _prompt(source: str | None, prompt: str | None, file: Path | None) -> str:
    """The prompt from the one place that is named."""
    if source not in (None, "-"):
        raise sentences.Complaint(f"{source!r} stands alone: give the prompt as --prompt TEXT", sentences.USAGE)
    if sum(each is not None for each in (source, prompt, file)) != 1:
        raise sentences.Complaint(
            "give the prompt in one way: --prompt TEXT, --prompt-file FILE, or - for standard input",
            sentences.USAGE,
        )
    text = _read(file, "prompt") if prompt is None else prompt
    if not text.strip():
        raise sentences.Complaint("the prompt is empty", sentences.USAGE)
    return text


def _read(file: Path | None, what: str) -> str:
    """The text of a file, or of standard input."""
    try:
        return (sys.stdin.buffer.read() if file is None else file.read_bytes()).decode()
    except OSError as error:
        raise sentences.Complaint(f"--{what}-file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        verb = "are" if what.endswith("s") else "is"
        raise sentences.Complaint(f"the {what} {verb} not UTF-8 text") from None


async def _submit(content: Mapping[str, object], key: str | None, wait: float | None, as_json: bool) -> None:
    from receiver import shapes
    from receiver.api import submissions
    from receiver.cli import asking, opening

    body = await asking.body(shapes.Submission, content)
    headers = {} if key is None else {"idempotency-key": key}
    async with opening.made() as store:
        run = await asking.ask(store, submissions.submit_run, shapes.Run, body=body, headers=headers)
        if wait is not None:
            run = await _waited(store, run, wait)
        await _tell(store, run, as_json, waits=wait is not None)
    if wait is not None and run.status != "completed":
        raise typer.Exit(sentences.FAILED)


async def _waited(store: database.Database, run: shapes.Run, seconds: float) -> shapes.Run:
    """The run when it has ended, or as it stands after so many seconds."""
    import asyncio

    from receiver import shapes
    from receiver.api import runs as handlers
    from receiver.cli import asking
    from storage import runs, states

    works, said = await asking.who_works(store)
    if not works:
        print(said, file=sys.stderr)
    with _progress(run.id), contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            # The server commits in a process of its own, unheard here.
            while await store.read(runs.status, run.id) not in states.TERMINAL:  # noqa: ASYNC110
                await asyncio.sleep(LOOK)
    return await asking.ask(store, handlers.get_run, shapes.Run, named=run.id)


def _progress(run_id: str) -> contextlib.AbstractContextManager[object]:
    """A line that moves, where somebody looks."""
    from receiver.cli import tables

    out = tables.console(to_stderr=True)
    return out.status(f"waiting for run {run_id}") if out.is_terminal else contextlib.nullcontext()


@VERBS.command()
def watch(run: options.Run, as_json: options.Json = False) -> None:
    """Take care of a run that was created elsewhere.

    \b
    Example:
      runledger watch run_01hx
    """
    loop.run(_watch(run, as_json))


async def _watch(run_id: str, as_json: bool) -> None:
    from receiver import shapes
    from receiver.api import submissions
    from receiver.cli import asking, opening

    body = await asking.body(shapes.WatchRequest, {"runId": run_id})
    async with opening.made() as store:
        run = await asking.ask(store, submissions.watch_run, shapes.Run, body=body)
        await _tell(store, run, as_json)


@VERBS.command()
def cancel(run: options.Run, as_json: options.Json = False) -> None:
    """Cancel a run. One that has ended stays as it is.

    \b
    Example:
      runledger cancel run_01hx
    """
    from receiver.api import submissions

    loop.run(_wish(submissions.cancel_run, run, as_json))


@VERBS.command()
def refresh(run: options.Run, as_json: options.Json = False) -> None:
    """Fetch a run again, also one that has ended.

    A state that ended stays; what is new becomes a further document.

    \b
    Example:
      runledger refresh run_01hx
    """
    from receiver.api import submissions

    loop.run(_wish(submissions.refresh_run, run, as_json, always=True))


async def _wish(handler: asking.Handler, run_id: str, as_json: bool, *, always: bool = False) -> None:
    from receiver import shapes
    from receiver.cli import asking, opening

    async with opening.existing() as store:
        run = await asking.ask(store, handler, shapes.Run, named=run_id)
        await _tell(store, run, as_json, always=always)


async def _tell(
    store: database.Database, run: shapes.Run, as_json: bool, *, always: bool = False, waits: bool = False
) -> None:
    """The run as it stands; for people with what happens next: nothing more to a run that has ended."""
    from receiver.cli import asking, tables
    from storage import states

    if waits and run.status not in states.TERMINAL:
        print("It has not ended yet and goes on; `runledger show` tells how it stands.", file=sys.stderr)
    if as_json:
        print(escaped.one_line(run.model_dump_json(by_alias=True)))
        return
    tables.console().print(tables.state(run.status), run.id)
    if run.status in states.TERMINAL and not always:
        print(_end(run))
    elif not waits:
        print((await asking.who_works(store))[1])
    print(f"  runledger show {run.id}")


def _end(run: shapes.Run) -> str:
    """How it ended, in a sentence or two."""
    from receiver.cli import figures

    took, cost = figures.duration(run.duration_ms), figures.dollars(run.cost_micros)
    measured = "" if run.duration_ms is None else f"It took {took} and cost {cost}. "
    reason = f"Reason: {figures.safe(run.failure_reason)}. " if run.failure_reason else ""
    return f"{measured}{reason}Known by {run.settled_by}."
