"""The columns of each list for people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from rich.text import Text

from receiver import clock
from receiver.cli.render import format as render_format
from receiver.cli.render import table, terminal
from receiver.cli.render.table import Column, Listing
from receiver.schemas import responses
from storage.stats import groups

#: The text that is shown in place of a pruned one.
REMOVED = Text("removed", "dim")


def ago(at: datetime | None) -> str:
    """Return how long ago an instant is by this machine's clock."""
    return render_format.age(at, clock.now())


def _text(run: responses.RunLine) -> table.Cell:
    """Return the first passage that was found, or the prompt."""
    if isinstance(run, responses.FoundRun) and run.snippets:
        return _snippet(run.snippets[0])
    return run.prompt or (REMOVED if run.pruned_at else None)


def _snippet(snippet: responses.Snippet) -> Text:
    """Return `step 4 tool_output: … force majeure …`, with the found words in bold."""
    place = snippet.part.value if snippet.step is None else f"step {snippet.step} {snippet.part.value}"
    prefix = Text(f"{place}: ", "dim")
    body = Text(render_format.safe(snippet.text), style="not dim")
    for low, high in snippet.marks:
        body.stylize("bold", low, high)
    return prefix + body


RUNS = Listing[responses.RunLine](
    "No runs.",
    Column("run", lambda run: run.id),
    Column("state", lambda run: table.state(run.status)),
    Column("settled by", lambda run: run.settled_by, 2),
    Column("took", lambda run: render_format.duration(run.duration_ms), 1, right=True),
    Column("tokens", lambda run: render_format.tokens(run.input_tokens, run.output_tokens), 3, right=True),
    Column("cost", lambda run: render_format.dollars(run.cost_micros), 1, right=True),
    Column("accepted", lambda run: ago(run.accepted_at), 5, right=True),
    Column("prompt", _text, 4, flexible=True),
    Column("upstream", lambda run: run.upstream_id, 6),
    Column("agent", lambda run: run.agent_id, 8),
    Column("model", lambda run: run.model, 7),
)


class Change(NamedTuple):
    """A change of a run."""

    number: int
    kind: str
    at: datetime


#: A run that changed, and its change.
Changed = tuple[responses.RunLine, Change]

FEED: tuple[Column[Changed], ...] = (
    Column("at", lambda each: render_format.time(each[1].at), least=8),
    Column("run", lambda each: each[0].id, least=36),
    Column("state", lambda each: table.state(each[0].status), least=9),
    Column("took", lambda each: render_format.duration(each[0].duration_ms), 1, right=True, least=7),
    Column("cost", lambda each: render_format.dollars(each[0].cost_micros), 2, right=True, least=7),
    Column("what", lambda each: each[1].kind, 3, least=20),
    Column(
        "prompt",
        lambda each: each[0].prompt or (REMOVED if each[0].pruned_at else None),
        4,
        flexible=True,
        least=table.LEAST,
    ),
)


class Feed:
    """A table that grows by a run at a time. Its head is printed above the first one."""

    def __init__(self) -> None:
        self._out = terminal.console()
        self._has_head = False

    def show(self, run: responses.RunLine, change: Change) -> None:
        made = table.made(FEED, [(run, change)], self._out.width)
        made.show_header, self._has_head = not self._has_head, True
        self._out.print(made)
        self._out.file.flush()


#: Cells of the longest bar.
BAR = 16


def stats(found: responses.Stats) -> Listing[responses.StatsRow]:
    """Return the columns of sums."""
    most = max((row.count for row in found.stats), default=0)
    mean = "mean time" if found.measure is groups.Measure.DURATION else "settled after"
    return Listing(
        "No runs.",
        Column(found.by.replace("_", " "), lambda row: row.key or None, flexible=found.by == "failure_reason"),
        Column("", lambda row: Text(render_format.bar(row.count, most, BAR), "cyan"), 1),
        Column("runs", lambda row: render_format.count(row.count), right=True),
        Column("cost", lambda row: render_format.dollars(row.cost_micros), right=True),
        Column("tokens in", lambda row: render_format.count(row.input_tokens), 7, right=True),
        Column("tokens out", lambda row: render_format.count(row.output_tokens), 8, right=True),
        Column(mean, lambda row: render_format.duration(row.mean_duration_ms), 4, right=True),
        Column("p50", lambda row: render_format.duration(row.p50_ms), 1, right=True),
        Column("p90", lambda row: render_format.duration(row.p90_ms), 6, right=True),
        Column("p95", lambda row: render_format.duration(row.p95_ms), 2, right=True),
        Column("p99", lambda row: render_format.duration(row.p99_ms), 5, right=True),
        Column("longest", lambda row: render_format.duration(row.max_duration_ms), 3, right=True),
    )


DELIVERIES = Listing[responses.Delivery](
    "No deliveries.",
    Column("delivery", lambda each: each.id),
    Column("verdict", lambda each: table.state(each.verdict)),
    Column("source", lambda each: each.source, 1),
    Column("received", lambda each: ago(each.received_at), 2, right=True),
    Column("reason", lambda each: each.reason or each.event_type, 1, flexible=True),
    Column("run", lambda each: each.run_id, 3),
    Column("repeats", lambda each: render_format.count(each.repeats), 4, right=True),
    Column("bytes", lambda each: render_format.count(each.size), 5, right=True),
    Column("from", lambda each: each.remote_addr, 6),
)

JOBS = Listing[responses.Job](
    "No jobs: all work is done.",
    Column("job", lambda job: job.id),
    Column("kind", lambda job: job.kind),
    Column("state", lambda job: table.state(job.state)),
    Column("due", lambda job: ago(job.due_at), 1, right=True),
    Column("tries", lambda job: render_format.count(job.attempts), 2, right=True),
    Column("last error", lambda job: job.last_error, flexible=True),
    Column("run", lambda job: job.run_id or "the deployment", 3),
)

CAUSES = Listing[responses.Cause](
    "No job fails.",
    Column("kind", lambda each: each.kind),
    Column("state", lambda each: table.state(each.state)),
    Column("jobs", lambda each: render_format.count(each.count), right=True),
    Column("oldest", lambda each: ago(each.oldest_at), 2, right=True),
    Column("next due", lambda each: ago(each.due_at), 1, right=True),
    Column("cause", lambda each: each.cause, flexible=True, folds=True),
)


def _content(step: responses.Step) -> str | None:
    """Return the text of a step, or else the output or the input of its tool."""
    texts = (step.content, step.tool_output, step.tool_input)
    first = next((each for each in texts if each is not None), None)
    return first if first is None or isinstance(first, str) else json.dumps(first, ensure_ascii=False)


STEPS = Listing[responses.Step](
    "No steps.",
    Column("#", lambda step: str(step.position), right=True),
    Column("type", lambda step: step.type),
    Column("tool", lambda step: step.tool_name, 1),
    Column("took", lambda step: render_format.duration(step.duration_ms), 2, right=True),
    Column("content", _content, flexible=True),
)


def _facts(entry: responses.TimelineEntry) -> Iterable[str]:
    """Yield the facts that have no column of their own."""
    if entry.delivery is not None:
        yield entry.delivery.source
        if entry.delivery.reason:
            yield entry.delivery.reason
    skipped = ("deliveryId", "source", "createdAt", "startedAt", "completedAt", "settledAt")
    yield from (f"{name}={value}" for name, value in entry.facts.items() if name not in skipped)


TIMELINE = Listing[responses.TimelineEntry](
    "Nothing yet.",
    Column("at", lambda entry: render_format.moment(entry.at)),
    Column("what", lambda entry: entry.kind),
    Column("actor", lambda entry: entry.actor, 1),
    Column("number", lambda entry: render_format.count(entry.number), 3, right=True),
    Column("facts", lambda entry: " ".join(_facts(entry)), 2, flexible=True),
)
