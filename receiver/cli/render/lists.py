"""Lists for people: a table with a line for each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from rich.text import Text

from receiver import clock
from receiver.cli.render import format as render_format
from receiver.cli.render import table, terminal
from receiver.cli.render.table import Column
from receiver.schemas import job_errors, responses
from storage.repositories import ledger_changes
from storage.stats import questions

#: Shown in place of a pruned text.
REMOVED = Text("removed", "dim")

RUNS = (
    Column("run"),
    Column("state"),
    Column("settled by", 2),
    Column("took", 1, right=True),
    Column("tokens", 3, right=True),
    Column("cost", 1, right=True),
    Column("accepted", 5, right=True),
    Column("prompt", 4, flexible=True),
    Column("upstream", 6),
    Column("agent", 8),
    Column("model", 7),
)


def runs(found: Sequence[responses.RunLine], title: str = "") -> None:
    """Print runs as a table."""
    now = clock.now()
    rows = [
        (
            run.id,
            table.state(run.status),
            run.settled_by or render_format.NONE,
            render_format.duration(run.duration_ms),
            render_format.tokens(run.input_tokens, run.output_tokens),
            render_format.dollars(run.cost_micros),
            render_format.age(run.accepted_at, now),
            _text(run),
            run.upstream_id or render_format.NONE,
            render_format.line(run.agent_id),
            render_format.line(run.model),
        )
        for run in found
    ]
    _table(RUNS, rows, "No runs.", title)


def _text(run: responses.RunLine) -> Text | str:
    """Return the first passage that was found, or the prompt."""
    if isinstance(run, responses.FoundRun) and run.snippets:
        return _snippet(run.snippets[0])
    return REMOVED if run.pruned_at else render_format.line(run.prompt)


def _snippet(snippet: responses.Snippet) -> Text:
    """Return `step 4 tool_output: … force majeure …`, with the found words in bold."""
    place = snippet.part.value if snippet.step is None else f"step {snippet.step} {snippet.part.value}"
    prefix = Text(f"{place}: ", "dim")
    body = Text(render_format.safe(snippet.text), style="not dim")
    for low, high in snippet.marks:
        body.stylize("bold", low, high)
    return prefix + body


FEED = (
    Column("at", least=8),
    Column("run", least=36),
    Column("state", least=9),
    Column("took", 1, right=True, least=7),
    Column("cost", 2, right=True, least=7),
    Column("what", 3, least=20),
    Column("prompt", 4, flexible=True, least=table.LEAST),
)


class Feed:
    """A table that grows by a run at a time. Its head is printed above the first one."""

    def __init__(self) -> None:
        self._out = terminal.console()
        self._has_head = False

    def show(self, run: responses.RunLine, change: ledger_changes.Change) -> None:
        """Print a run that changed."""
        row = (
            render_format.time(change.at),
            run.id,
            table.state(run.status),
            render_format.duration(run.duration_ms),
            render_format.dollars(run.cost_micros),
            change.kind,
            REMOVED if run.pruned_at else run.prompt or render_format.NONE,
        )
        made = table.made(FEED, [row], self._out.width)
        made.show_header, self._has_head = not self._has_head, True
        self._out.print(made)
        self._out.file.flush()


#: Cells of the longest bar.
BAR = 16


def stats(found: responses.Stats, title: str = "") -> None:
    """Print sums as a table."""
    columns = (
        Column(found.by.replace("_", " "), flexible=found.by == "failure_reason"),
        Column("", 1),
        Column("runs", right=True),
        Column("cost", right=True),
        Column("tokens in", 7, right=True),
        Column("tokens out", 8, right=True),
        *(Column(name, rank, right=True) for name, rank in _times(found)),
    )
    most = max((row.count for row in found.stats), default=0)
    rows: list[tuple[table.Cell, ...]] = [
        (
            row.key or render_format.NONE,
            Text(render_format.bar(row.count, most, BAR), "cyan"),
            render_format.count(row.count),
            render_format.dollars(row.cost_micros),
            render_format.count(row.input_tokens),
            render_format.count(row.output_tokens),
            render_format.duration(row.mean_duration_ms),
            *(render_format.duration(each) for each in (row.p50_ms, row.p90_ms, row.p95_ms, row.p99_ms)),
            render_format.duration(row.max_duration_ms),
        )
        for row in found.stats
    ]
    _table(columns, rows, "No runs.", title)


def _times(found: responses.Stats) -> Iterable[tuple[str, int]]:
    """Yield the columns of times with their ranks."""
    mean = "mean time" if found.measure is questions.Measure.DURATION else "settled after"
    return ((mean, 4), ("p50", 1), ("p90", 6), ("p95", 2), ("p99", 5), ("longest", 3))


DELIVERIES = (
    Column("delivery"),
    Column("verdict"),
    Column("source", 1),
    Column("received", 2, right=True),
    Column("reason", 1, flexible=True),
    Column("run", 3),
    Column("repeats", 4, right=True),
    Column("bytes", 5, right=True),
    Column("from", 6),
)


def deliveries(found: Sequence[responses.Delivery]) -> None:
    """Print deliveries as a table."""
    now = clock.now()
    rows = [
        (
            each.id,
            table.state(each.verdict),
            each.source,
            render_format.age(each.received_at, now),
            render_format.line(each.reason or each.event_type),
            each.run_id or render_format.NONE,
            render_format.count(each.repeats),
            render_format.count(each.size),
            each.remote_addr or render_format.NONE,
        )
        for each in found
    ]
    _table(DELIVERIES, rows, "No deliveries.")


JOBS = (
    Column("job"),
    Column("kind"),
    Column("state"),
    Column("due", 1, right=True),
    Column("tries", 2, right=True),
    Column("last error", flexible=True),
    Column("run", 3),
)


def jobs(found: Sequence[responses.Job]) -> None:
    """Print jobs as a table."""
    now = clock.now()
    rows = [
        (
            job.id,
            job.kind,
            table.state(job.state),
            render_format.age(job.due_at, now),
            render_format.count(job.attempts),
            render_format.line(job.last_error),
            job.run_id or "the deployment",
        )
        for job in found
    ]
    _table(JOBS, rows, "No jobs: all work is done.")


CAUSES = (
    Column("kind"),
    Column("state"),
    Column("jobs", right=True),
    Column("oldest", 2, right=True),
    Column("next due", 1, right=True),
    Column("cause", flexible=True, folds=True),
)


def causes(found: Sequence[job_errors.Cause]) -> None:
    """Print why jobs fail, as a table."""
    now = clock.now()
    rows = [
        (
            each.kind,
            table.state(each.state),
            render_format.count(each.count),
            render_format.age(each.oldest_at, now),
            render_format.age(each.due_at, now),
            render_format.line(each.cause),
        )
        for each in found
    ]
    _table(CAUSES, rows, "No job fails.")


STEPS = (
    Column("#", right=True),
    Column("type"),
    Column("tool", 1),
    Column("took", 2, right=True),
    Column("content", flexible=True),
)


def steps(found: Sequence[responses.Step]) -> None:
    """Print steps as a table."""
    rows = [
        (
            str(step.position),
            render_format.line(step.type),
            render_format.line(step.tool_name),
            render_format.duration(step.duration_ms),
            render_format.line(_content(step)),
        )
        for step in found
    ]
    _table(STEPS, rows, "No steps.")


def _content(step: responses.Step) -> str | None:
    """Return the text of a step, or else the output or the input of its tool."""
    texts = (step.content, step.tool_output, step.tool_input)
    first = next((each for each in texts if each is not None), None)
    return first if first is None or isinstance(first, str) else json.dumps(first, ensure_ascii=False)


TIMELINE = (
    Column("at"),
    Column("what"),
    Column("actor", 1),
    Column("number", 3, right=True),
    Column("facts", 2, flexible=True),
)


def timeline(found: Sequence[responses.TimelineEntry]) -> None:
    """Print a timeline as a table, oldest first."""
    rows = [
        (
            render_format.moment(entry.at),
            render_format.line(entry.kind),
            render_format.line(entry.actor),
            render_format.count(entry.number),
            render_format.line(" ".join(_facts(entry))),
        )
        for entry in found
    ]
    _table(TIMELINE, rows, "Nothing yet.")


def _facts(entry: responses.TimelineEntry) -> Iterable[str]:
    """Yield the facts that have no column of their own."""
    if entry.delivery is not None:
        yield entry.delivery.source
        if entry.delivery.reason:
            yield entry.delivery.reason
    skipped = ("deliveryId", "source", "createdAt", "startedAt", "completedAt", "settledAt")
    yield from (f"{name}={value}" for name, value in entry.facts.items() if name not in skipped)


def _table(columns: Sequence[Column], rows: Sequence[Sequence[table.Cell]], none: str, title: str = "") -> None:
    if rows:
        table.show(columns, rows, title)
    else:
        print(none)
