"""The result of one database: the figures and counts of the report, read while the database exists."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.faults import judge, killing, trial

SOURCES = ("watcher", "platform", "sweep", "request")
Row = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The result of one database: lines of the summary, counts by table, findings."""

    kind: str
    replicas: int
    facts: Mapping[str, str]
    sources: Mapping[str, tuple[int, int]]
    counts: Mapping[str, Mapping[str, int]]
    kills: Sequence[killing.Kill]
    findings: judge.Findings
    has_ended: bool


def read(played: trial.Trial, findings: judge.Findings) -> Outcome:
    """Read all that is reported of a trial, while its database exists."""
    kills, runs = played.killer.kills, [_times(row) for row in played.rows(_RUNS)]
    return Outcome(
        played.kind,
        len(played.replicas),
        _facts(played, kills, runs),
        {source: (_by(runs, source), _by(_open_at_a_kill(runs, kills), source)) for source in SOURCES},
        _counts(played),
        kills,
        findings,
        played.ended_after is not None,
    )


_RUNS = "SELECT status, settled_by, accepted_at, settled_at FROM runs"


_VERSION = {
    "sqlite": "SELECT sqlite_version() AS n",
    "postgresql": "SELECT current_setting('server_version') AS n",
}


def _times(row: Row) -> Row:
    return row | {name: _instant(row[name]) for name in ("accepted_at", "settled_at")}


def _instant(value: object) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value  # type: ignore[return-value]


def _by(runs: Iterable[Row], source: str) -> int:
    return sum(run["settled_by"] == source for run in runs)


def _open_at_a_kill(runs: Iterable[Row], kills: Sequence[killing.Kill]) -> list[Row]:
    """Return how many runs were open when some process was killed."""
    return [
        run
        for run in runs
        if run["settled_at"] and any(run["accepted_at"] < kill.at < run["settled_at"] for kill in kills)
    ]


def _facts(played: trial.Trial, kills: Sequence[killing.Kill], runs: Sequence[Row]) -> dict[str, str]:
    tally, journal = played.tally, played.journal
    lasted = [(run["settled_at"] - run["accepted_at"]).total_seconds() for run in runs if run["settled_at"]]
    recovered = {
        of: [kill.recovered[of] for kill in kills if of in kill.recovered] for of in ("a run", "the deployment")
    }
    starts = [kill.start for kill in kills if kill.start is not None]
    sent = sum(count for what, count in journal.sent.items() if not what.endswith("dropped"))
    return {
        "database, processes": f"{played.rows(_VERSION[played.kind])[0]['n']}, {len(played.replicas)}",
        "kills": _kills(kills),
        "seconds of load": f"{played.seconds:,.0f}",
        "requests": f"{tally.requests.total() + sent:,}",
        "answered 2xx": f"{tally.acknowledged.total() + journal.acknowledged.total():,}",
        "not answered or 503, and sent again": f"{tally.unanswered.total() + tally.busy.total():,}",
        "submissions acknowledged, stored": f"{_known(played):,}, {len(runs):,}",
        "deliveries acknowledged": f"{len(played.receipts) + journal.acknowledged.total():,}",
        "recovery: leased jobs of runs": _seconds(recovered["a run"]),
        "recovery: the sweep, where it was leased": _seconds(recovered["the deployment"]),
        "a process that starts again answers": _seconds(starts),
        "from acceptance to the stored result": _seconds(lasted),
        "longest time without an answer 2xx": f"{tally.longest_gap:.1f} s",
        "everything done after the last kill": _after(played.ended_after),
    }


def _kills(kills: Sequence[killing.Kill]) -> str:
    starting = sum(kill.while_starting for kill in kills)
    others = sum(kill.others_down > 0 for kill in kills)
    return f"{len(kills)}, {starting} of them while it started, {others} while another one was down"


def _known(played: trial.Trial) -> int:
    return sum(each.run_id is not None for each in played.submissions)


def _after(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s"


def _seconds(values: Sequence[float]) -> str:
    """Return the median, the 95th percentile and the maximum."""
    if not values:
        return "none"
    ordered = sorted(values)
    late = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"{statistics.median(ordered):.1f} s, {late:.1f} s, {ordered[-1]:.1f} s"


def _counts(played: trial.Trial) -> dict[str, dict[str, int]]:
    """Return the raw counts by table."""
    rows, tally, journal = played.rows, played.tally, played.journal

    def grouped(statement: str) -> dict[str, int]:
        return {str(row["name"]): int(row["n"] or 0) for row in rows(statement)}

    given_up = sum(each.run_id is None for each in played.submissions)
    return {
        "requests of our own senders": dict(tally.requests),
        "… answered 2xx": dict(tally.acknowledged),
        "… answered 503": dict(tally.busy),
        "… not answered": dict(tally.unanswered),
        "submissions abandoned without an answer": {"all": given_up},
        "sent by the sandbox, by answer": dict(journal.sent),
        "calls to the sandbox": dict(journal.calls),
        "faults of their answers": dict(journal.faults),
        "runs": grouped("SELECT status AS name, count(*) AS n FROM runs GROUP BY status"),
        "upstream runs": grouped("SELECT role AS name, count(*) AS n FROM upstream_links GROUP BY role"),
        "seen started": _via(rows),
        "deliveries": grouped("SELECT source || ' ' || verdict AS name, count(*) AS n FROM deliveries GROUP BY 1"),
        "… counted on a row": grouped("SELECT 'repeats' AS name, sum(repeats) AS n FROM deliveries"),
        "ledger": grouped("SELECT kind AS name, count(*) AS n FROM ledger_entries GROUP BY kind"),
        "problems in the log": dict(played.log_problems()),
        "kills by process": dict(Counter(f"process {kill.replica}" for kill in played.killer.kills)),
        "leased jobs at the kills": {"all": sum(kill.leased for kill in played.killer.kills)},
    }


def _via(rows: judge.Rows) -> dict[str, int]:
    """Return how the start of a run was learned: `status` is after a lost answer, a 409 or a kill."""
    counted = Counter[str]()
    for entry in rows("SELECT body FROM ledger_entries WHERE kind = 'run.started'"):
        counted["by the answer to exec" if '"via":"exec"' in entry["body"] else "by asking for the status"] += 1
    return dict(counted)
