"""Many of a kind as people see them: a line each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from rich.text import Text

from receiver import clock, shapes
from receiver.cli import figures, tables
from receiver.cli.tables import Column
from storage import changes
from storage import stats as sums

#: In place of a text that was pruned.
REMOVED = Text("removed", "dim")

RUNS = (
    Column("run"),
    Column("state"),
    Column("road", 2),
    Column("took", 1, right=True),
    Column("tokens", 3, right=True),
    Column("cost", 1, right=True),
    Column("accepted", 5, right=True),
    Column("prompt", 4, flexible=True),
    Column("upstream", 6),
    Column("agent", 8),
    Column("model", 7),
)


def runs(found: Sequence[shapes.RunLine], title: str = "") -> None:
    """Runs as a table."""
    now = clock.now()
    rows = [
        (
            run.id,
            tables.state(run.status),
            run.settled_by or figures.NONE,
            figures.duration(run.duration_ms),
            figures.tokens(run.input_tokens, run.output_tokens),
            figures.dollars(run.cost_micros),
            figures.age(run.accepted_at, now),
            _text(run),
            run.upstream_id or figures.NONE,
            figures.line(run.agent_id),
            figures.line(run.model),
        )
        for run in found
    ]
    _table(RUNS, rows, "No runs.", title)


def _text(run: shapes.RunLine) -> Text | str:
    """Where it says what was asked for, or else what it was asked."""
    if isinstance(run, shapes.FoundRun) and run.snippets:
        return _hit(run.snippets[0])
    return REMOVED if run.pruned_at else figures.line(run.prompt)


def _hit(snippet: shapes.Snippet) -> Text:
    """`step 4 tool_output: … force majeure …`, with the hits in bold."""
    place = snippet.part.value if snippet.step is None else f"step {snippet.step} {snippet.part.value}"
    told = Text(f"{place}: ", "dim")
    body = Text(figures.safe(snippet.text), style="not dim")
    for low, high in snippet.marks:
        body.stylize("bold", low, high)
    return told + body


FEED = (
    Column("at", least=8),
    Column("run", least=36),
    Column("state", least=9),
    Column("took", 1, right=True, least=7),
    Column("cost", 2, right=True, least=7),
    Column("what", 3, least=20),
    Column("prompt", 4, flexible=True, least=tables.LEAST),
)


class Feed:
    """Runs as a table that goes on; its head stands above the first of them."""

    def __init__(self) -> None:
        self._out = tables.console()
        self._has_head = False

    def show(self, run: shapes.RunLine, change: changes.Change) -> None:
        """A run to which something happened."""
        row = (
            figures.time(change.at),
            run.id,
            tables.state(run.status),
            figures.duration(run.duration_ms),
            figures.dollars(run.cost_micros),
            change.kind,
            REMOVED if run.pruned_at else run.prompt or figures.NONE,
        )
        table = tables.made(FEED, [row], self._out.width)
        table.show_header, self._has_head = not self._has_head, True
        self._out.print(table)
        self._out.file.flush()


#: Cells of the longest bar.
BAR = 16


def stats(found: shapes.Stats, title: str = "") -> None:
    """Sums as a table."""
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
    rows: list[tuple[tables.Cell, ...]] = [
        (
            row.key or figures.NONE,
            Text(figures.bar(row.count, most, BAR), "cyan"),
            figures.count(row.count),
            figures.dollars(row.cost_micros),
            figures.count(row.input_tokens),
            figures.count(row.output_tokens),
            figures.duration(row.mean_duration_ms),
            *(figures.duration(each) for each in (row.p50_ms, row.p90_ms, row.p95_ms, row.p99_ms)),
            figures.duration(row.max_duration_ms),
        )
        for row in found.stats
    ]
    _table(columns, rows, "No runs.", title)


def _times(found: shapes.Stats) -> Iterable[tuple[str, int]]:
    """Columns of what is timed, by their rank."""
    mean = "mean time" if found.measure is sums.Measure.DURATION else "settled after"
    return ((mean, 4), ("p50", 1), ("p90", 6), ("p95", 2), ("p99", 5), ("longest", 3))


DELIVERIES = (
    Column("delivery"),
    Column("verdict"),
    Column("road", 1),
    Column("received", 2, right=True),
    Column("reason", 1, flexible=True),
    Column("run", 3),
    Column("repeats", 4, right=True),
    Column("bytes", 5, right=True),
    Column("from", 6),
)


def deliveries(found: Sequence[shapes.Delivery]) -> None:
    """Deliveries as a table."""
    now = clock.now()
    rows = [
        (
            each.id,
            tables.state(each.verdict),
            each.road,
            figures.age(each.received_at, now),
            figures.line(each.reason or each.event_type),
            each.run_id or figures.NONE,
            figures.count(each.repeats),
            figures.count(each.size),
            each.remote_addr or figures.NONE,
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


def jobs(found: Sequence[shapes.Job]) -> None:
    """Jobs as a table."""
    now = clock.now()
    rows = [
        (
            job.id,
            job.kind,
            tables.state(job.state),
            figures.age(job.due_at, now),
            figures.count(job.attempts),
            figures.line(job.last_error),
            job.run_id or "the house",
        )
        for job in found
    ]
    _table(JOBS, rows, "No jobs: all is done.")


CAUSES = (
    Column("kind"),
    Column("state"),
    Column("jobs", right=True),
    Column("oldest", 2, right=True),
    Column("next due", 1, right=True),
    Column("cause", flexible=True, folds=True),
)


def causes(found: Sequence[shapes.Cause]) -> None:
    """What stands in the way of jobs, as a table."""
    now = clock.now()
    rows = [
        (
            each.kind,
            tables.state(each.state),
            figures.count(each.count),
            figures.age(each.oldest_at, now),
            figures.age(each.due_at, now),
            figures.line(each.cause),
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


def steps(found: Sequence[shapes.Step]) -> None:
    """The trace as a table."""
    rows = [
        (
            str(step.position),
            figures.line(step.type),
            figures.line(step.tool_name),
            figures.duration(step.duration_ms),
            figures.line(_content(step)),
        )
        for step in found
    ]
    _table(STEPS, rows, "No steps.")


def _content(step: shapes.Step) -> str | None:
    """What there is to read of a step: its text, or what went into the tool or came out."""
    told = (step.content, step.tool_output, step.tool_input)
    first = next((each for each in told if each is not None), None)
    return first if first is None or isinstance(first, str) else json.dumps(first, ensure_ascii=False)


TIMELINE = (
    Column("at"),
    Column("what"),
    Column("who", 1),
    Column("number", 3, right=True),
    Column("facts", 2, flexible=True),
)


def timeline(found: Sequence[shapes.TimelineEntry]) -> None:
    """What happened, oldest first."""
    rows = [
        (
            figures.moment(entry.at),
            figures.line(entry.kind),
            figures.line(entry.actor),
            figures.count(entry.number),
            figures.line(" ".join(_facts(entry))),
        )
        for entry in found
    ]
    _table(TIMELINE, rows, "Nothing yet.")


def _facts(entry: shapes.TimelineEntry) -> Iterable[str]:
    """What the columns do not say already."""
    if entry.delivery is not None:
        yield entry.delivery.road
        if entry.delivery.reason:
            yield entry.delivery.reason
    skipped = ("deliveryId", "road", "createdAt", "startedAt", "completedAt", "settledAt")
    yield from (f"{name}={value}" for name, value in entry.facts.items() if name not in skipped)


def _table(columns: Sequence[Column], rows: Sequence[Sequence[tables.Cell]], none: str, title: str = "") -> None:
    if rows:
        tables.show(columns, rows, title)
    else:
        print(none)
