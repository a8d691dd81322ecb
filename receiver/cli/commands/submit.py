"""Commands that submit, adopt, cancel and refresh a run."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from receiver.api import runs, submissions
from receiver.cli import api_calls, event_loop, options, target
from receiver.cli.errors import FAILED, USAGE, CommandError
from receiver.cli.parameters import option
from receiver.cli.render import format as render_format
from receiver.cli.render import json_lines, table, terminal
from receiver.schemas import bodies, responses
from storage import states

app = event_loop.commands()


Instructions = Annotated[str | None, option("TEXT", "In place of --agent: of an agent created for this run only.")]
Objects = Annotated[list[str] | None, option("ID", "An object that the run may read; repeatable.", "--object")]
IdempotencyKey = Annotated[str | None, option("KEY", "The same key with the same content is the same run.")]
Wait = Annotated[float | None, option("SECONDS", "Wait for its end; exit 1 if it fails.", min=0)]


@app.command()
async def submit(
    agent: Annotated[str | None, option("ID", "The agent to run.")] = None,
    source: Annotated[str | None, typer.Argument(metavar="-", help="The prompt from standard input.")] = None,
    prompt: Annotated[str | None, option("TEXT", "What the agent is asked to do.")] = None,
    prompt_file: Annotated[Path | None, option("FILE", "The same from a file.")] = None,
    guidance: Annotated[str | None, option("TEXT", "Further guidance for this run.")] = None,
    instructions: Instructions = None,
    instructions_file: Annotated[Path | None, option("FILE", "The same from a file.")] = None,
    model: Annotated[str | None, option("NAME", "In place of the agent's own.")] = None,
    object_id: Objects = None,
    tag: Annotated[list[str] | None, option("KEY=VALUE", "A label; repeatable.")] = None,
    idempotency_key: IdempotencyKey = None,
    wait: Wait = None,
    as_json: options.Json = False,
) -> None:
    """Submit a run.

    It is stored first; the running server sends it. A run of an agent is
    executed exactly once, a run with --instructions at most once.

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
    body = api_calls.body(bodies.Submission, content)
    headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    async with target.opened(creates=True) as store:
        run = await api_calls.ask(store, submissions.submit_run, responses.Run, body=body, headers=headers)
        if wait is not None:
            run = await _ended(store, run, wait)
        await show(store, run, as_json, has_waited=wait is not None)
    if wait is not None and run.status != "completed":
        raise typer.Exit(FAILED)


def _instructions(agent: str | None, text: str | None, file: Path | None) -> str | None:
    """Return the instructions where there is no agent. Raise CommandError."""
    if sum(each is not None for each in (agent, text, file)) != 1:
        raise CommandError(
            "give --agent ID, or --instructions TEXT (or --instructions-file FILE) for an agent made for this run",
            USAGE,
        )
    return text if file is None else read_text(file, "instructions")


def _prompt(source: str | None, prompt: str | None, file: Path | None) -> str:
    """Return the prompt from the one place that is named. Raise CommandError."""
    if source not in (None, "-"):
        raise CommandError(f"{source!r} is no option: give the prompt as --prompt TEXT", USAGE)
    if sum(each is not None for each in (source, prompt, file)) != 1:
        raise CommandError(
            "give the prompt in one way: --prompt TEXT, --prompt-file FILE, or - for standard input", USAGE
        )
    text = read_text(file, "prompt") if prompt is None else prompt
    if not text.strip():
        raise CommandError("the prompt is empty", USAGE)
    return text


def read_text(file: Path | None, what: str) -> str:
    """Return the text of a file, or of standard input. Raise CommandError."""
    try:
        with event_loop.interruptible():
            return (sys.stdin.buffer.read() if file is None else file.read_bytes()).decode()
    except OSError as error:
        raise CommandError(f"--{what}-file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        verb = "are" if what.endswith("s") else "is"
        raise CommandError(f"the {what} {verb} not UTF-8 text") from None


async def _ended(store: target.Target, run: responses.Run, seconds: float) -> responses.Run:
    """Return the run once it has ended, or as it is after `seconds`."""
    await api_calls.warn_without_worker(store)
    read = partial(api_calls.ask, store, runs.get_run, responses.Run, path_id=run.id)
    with terminal.spinner(f"waiting for run {run.id}"):
        return await event_loop.until(lambda found: found.status in states.TERMINAL, read, seconds)


@app.command()
async def watch(run: options.Run, as_json: options.Json = False) -> None:
    """Adopt a run that was created elsewhere.

    \b
    Example:
      runledger watch run_01hx
    """
    body = api_calls.body(bodies.WatchRequest, {"runId": run})
    async with target.opened(creates=True) as store:
        await show(store, await api_calls.ask(store, submissions.watch_run, responses.Run, body=body), as_json)


@app.command()
async def cancel(run: options.Run, as_json: options.Json = False) -> None:
    """Cancel a run. One that has ended stays as it is.

    \b
    Example:
      runledger cancel run_01hx
    """
    async with target.opened() as store:
        await show(store, await api_calls.ask(store, submissions.cancel_run, responses.Run, path_id=run), as_json)


@app.command()
async def refresh(run: options.Run, as_json: options.Json = False) -> None:
    """Fetch a run again, also one that has ended.

    The final state stays; a changed answer is stored as a further document.

    \b
    Example:
      runledger refresh run_01hx
    """
    async with target.opened() as store:
        found = await api_calls.ask(store, submissions.refresh_run, responses.Run, path_id=run)
        await show(store, found, as_json, is_requested=True)


async def show(
    store: target.Target,
    run: responses.Run,
    as_json: bool,
    *,
    is_requested: bool = False,
    has_waited: bool = False,
) -> None:
    """Print the run; for people also how it ended, or what happens next.

    `is_requested` means that a worker has something to do even where the run has ended.
    """
    has_ended = run.status in states.TERMINAL
    if has_waited and not has_ended:
        print("It has not ended yet; `runledger show` shows its state.", file=sys.stderr)
    if as_json:
        json_lines.model(run)
        return
    terminal.console().print(table.state(run.status), run.id)
    if has_ended and not is_requested:
        print(_end(run))
    elif not has_waited:
        print((await api_calls.worker_status(store)).message)
    print(f"  runledger show {run.id}")


def _end(run: responses.Run) -> str:
    took, cost = render_format.duration(run.duration_ms), render_format.dollars(run.cost_micros)
    measures = "" if run.duration_ms is None else f"It took {took} and cost {cost}. "
    reason = f"Reason: {render_format.safe(run.failure_reason)}. " if run.failure_reason else ""
    return f"{measures}{reason}Settled by {run.settled_by}."
