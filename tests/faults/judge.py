"""The judge: compares what clients were promised with what the database and the upstream hold afterwards.

It reads with SQL of its own and shares no code with the product. Each finding is a sentence: `lost` is what was
acknowledged and is not there or never settled, `doubled` what is there or was done more than once, `loose` a
leftover upstream that is not linked and cancelled, `wrong` what contradicts itself.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults import sending, submitting

Row = dict[str, Any]
Rows = Callable[[str], list[Row]]

ENDS = ("completed", "failed", "cancelled", "refused")
_NONCE = re.compile(r"nonce_[0-9a-f]+")


@dataclass(frozen=True)
class Promised:
    """What clients saw: submissions, receipts of our senders, 2xx that the sandbox was answered, its runs.

    `odd` are answers that must not occur, `broken` what the servers did that they never should.
    """

    submissions: Sequence[submitting.Submission]
    receipts: Sequence[sending.Receipt]
    acknowledged: Mapping[tuple[str, str], int]
    upstream: Sequence[Row]
    odd: Sequence[str] = ()
    broken: Sequence[str] = ()


@dataclass
class Findings:
    """What is not as it was promised; all empty where everything is."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        """Every finding with its kind."""
        kinds = {"lost": self.lost, "doubled": self.doubled, "loose": self.loose, "wrong": self.wrong}
        return [f"{kind}: {each}" for kind, found in kinds.items() for each in found]


def judge(rows: Rows, promised: Promised) -> Findings:
    """Everything that is not as it was promised."""
    found = Findings(lost=[f"refused: {each}" for each in promised.odd], wrong=list(promised.broken))
    runs = rows("SELECT * FROM runs")
    _judge_submissions(runs, promised.submissions, found)
    _judge_ends(rows, runs, found)
    _judge_execs(runs, promised, found)
    _judge_leftovers(rows, runs, promised.upstream, found)
    _judge_receipts(rows, promised, found)
    _judge_contents(rows, found)
    _judge_sums(rows, found)
    _judge_order(rows, found)
    return found


def _judge_submissions(runs: Sequence[Row], submissions: Sequence[submitting.Submission], found: Findings) -> None:
    """What was acknowledged is there under its id, with its words; no submission became two records."""
    by_id, named = {run["id"]: run for run in runs}, Counter(_nonce(run) for run in runs)
    for each in submissions:
        if named[each.nonce] > 1 or each.others:
            found.doubled.append(f"{each.nonce} has {max(named[each.nonce], 1 + len(each.others))} records")
        if each.run_id is not None and _nonce(by_id.get(each.run_id, {})) != each.nonce:
            found.lost.append(f"the submission {each.nonce}, acknowledged as {each.run_id}")
    known = {each.nonce for each in submissions}
    found.wrong += [f"run {run['id']} was submitted by nobody" for run in runs if _nonce(run) not in known]


def _judge_ends(rows: Rows, runs: Sequence[Row], found: Findings) -> None:
    """Each run that is there, acknowledged or not, was settled, and its end stands in the ledger once."""
    entries: dict[str, list[str]] = defaultdict(list)
    for entry in rows("SELECT run_id, kind FROM ledger_entries WHERE run_id IS NOT NULL ORDER BY seq"):
        entries[entry["run_id"]].append(entry["kind"])
    for run in runs:
        kinds = entries[run["id"]]
        ends = [kind.removeprefix("run.") for kind in kinds if kind.removeprefix("run.") in ENDS]
        if run["status"] not in ENDS or not run["settled_at"] or not ends:
            found.lost.append(
                f"run {run['id']} is {run['status']}, settled at {run['settled_at']}, its ledger has {ends}"
            )
        elif len(ends) > 1:
            found.doubled.append(f"run {run['id']} has the ends {ends}")
        elif ends != [run["status"]]:
            found.wrong.append(f"run {run['id']} is {run['status']} and its ledger has {ends[0]}")
        for kind in ("run.accepted", "run.created", "run.started"):
            if kinds.count(kind) > 1:
                found.doubled.append(f"run {run['id']} has {kinds.count(kind)} entries {kind}")


def _judge_execs(runs: Sequence[Row], promised: Promised, found: Findings) -> None:
    """One successful exec per nonce over all upstream runs; none only where the run was cancelled on request."""
    upstream: dict[str | None, list[Row]] = defaultdict(list)
    for each in promised.upstream:
        upstream[_nonce(each)].append(each)
    for nonce, made in upstream.items():
        execs = sum(each["execCount"] for each in made)
        if execs > 1:
            found.doubled.append(f"{nonce} was executed {execs} times")
    cancelled = {each.nonce for each in promised.submissions if each.is_cancelled}
    for run in runs:
        nonce, is_requested = _nonce(run), run["cancel_requested_at"] is not None
        if nonce in cancelled and not is_requested:
            found.lost.append(f"the cancel of run {run['id']}")
        execs = sum(each["execCount"] for each in upstream[nonce] if each["id"] == run["upstream_id"])
        if execs == 0 and not (run["status"] == "cancelled" and is_requested):
            found.lost.append(f"run {run['id']} is {run['status']} and was never executed under its upstream id")


def _judge_leftovers(rows: Rows, runs: Sequence[Row], upstream: Sequence[Row], found: Findings) -> None:
    """Each upstream run is the one that stands in a record, or an orphan that is linked and cancelled."""
    links = {link["upstream_id"]: link for link in rows("SELECT * FROM upstream_links")}
    by_upstream_id = {run["upstream_id"]: run for run in runs if run["upstream_id"]}
    for each in upstream:
        link, state = links.get(each["id"]), (each["status"], each["execCount"])
        if link is None:
            found.loose.append(f"upstream run {each['id']} of {_nonce(each)} is {state} and linked to nothing")
        elif link["role"] == "orphan":
            if state != ("cancelled", 0) or not link["cancelled_at"]:
                found.loose.append(f"orphan {each['id']} of {_nonce(each)} is {state}")
        elif each["id"] not in by_upstream_id:
            found.loose.append(f"upstream run {each['id']} is linked to {link['run_id']}, which has another one")
        elif by_upstream_id[each["id"]]["status"] != each["status"]:
            kept = by_upstream_id[each["id"]]["status"]
            found.wrong.append(f"upstream run {each['id']} is {each['status']}, our record says {kept}")


def _judge_receipts(rows: Rows, promised: Promised, found: Findings) -> None:
    """Each 2xx is a row or counted on one: each receipt by its id, all of a key by their number."""
    kept = rows("SELECT * FROM deliveries WHERE verdict <> 'rejected'")
    by_id, stored = {row["id"]: row for row in kept}, Counter[tuple[str, str]]()
    for row in kept:
        stored[_key(row)] += 1 + row["repeats"]
    for each in promised.receipts:
        if each.id not in by_id or not _is_it(by_id[each.id], each):
            found.lost.append(f"the delivery {each.id} of {each.key} ({each.source})")
    answered = Counter((each.source, each.key) for each in promised.receipts) + Counter(promised.acknowledged)
    for key, count in answered.items():
        if stored[key] < count:
            found.lost.append(f"{count - stored[key]} of {count} deliveries of {key[1]} ({key[0]})")


def _is_it(row: Row, receipt: sending.Receipt) -> bool:
    """Whether the row is the delivery's. What was only counted has the receipt of the first, with other bytes."""
    is_counted = row["verdict"] != receipt.verdict
    return _key(row) == (receipt.source, receipt.key) and (is_counted or row["body_sha256"] == receipt.body_sha256)


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["source"], row["run_id"] if row["source"] == "watcher" else row["event_id"]


def _judge_contents(rows: Rows, found: Findings) -> None:
    """What was stored of a run is whole: as many steps as it says, a document, one event of a key accepted."""
    short = """SELECT id FROM runs WHERE status IN ('completed', 'failed') AND (
        step_count <> (SELECT count(*) FROM run_steps WHERE run_steps.run_id = runs.id)
        OR NOT EXISTS (SELECT 1 FROM run_documents WHERE run_documents.run_id = runs.id))"""
    found.lost += [f"steps or document of run {row['id']}" for row in rows(short)]
    twice = """SELECT event_id, count(*) AS n FROM deliveries WHERE verdict = 'accepted' AND source = 'platform'
        GROUP BY event_id HAVING count(*) > 1"""
    found.doubled += [f"event {row['event_id']} was accepted {row['n']} times" for row in rows(twice)]


def _judge_sums(rows: Rows, found: Findings) -> None:
    """Each end was counted once, with what it measured, by its model and its agent, and thrice by its duration."""
    of_ended = f"FROM runs WHERE status IN {ENDS}"
    for table, name in (("rollup_models", "model"), ("rollup_agents", "agent_id")):
        keys = f"coalesce({name}, '') AS name, status"
        sums = "coalesce(sum(cost_micros), 0) AS cost, coalesce(sum(duration_ms), 0) AS took"
        kept = rows(f"SELECT {keys}, sum(runs) AS n, {sums} FROM {table} GROUP BY 1, 2")
        _compare(table, kept, rows(f"SELECT {keys}, count(*) AS n, {sums} {of_ended} GROUP BY 1, 2"), found)
    keys = "'' AS name, status"
    timed = rows(f"SELECT {keys}, count(duration_ms) AS n {of_ended} AND duration_ms IS NOT NULL GROUP BY 1, 2")
    for dimension in ("agent", "model", "day"):
        of_it = f"FROM rollup_durations WHERE dimension = '{dimension}'"
        kept = rows(f"SELECT {keys}, sum(runs) AS n {of_it} GROUP BY 1, 2")
        _compare(f"durations by {dimension}", kept, timed, found)


def _compare(what: str, kept: Sequence[Row], counted: Sequence[Row], found: Findings) -> None:
    """What is kept of each name and state beside what the runs add up to."""
    left, right = (
        {(row["name"], row["status"]): [int(row.get(name, 0)) for name in ("n", "cost", "took")] for row in each}
        for each in (kept, counted)
    )
    for key in sorted(left.keys() | right.keys()):
        ours, theirs = left.get(key, [0]), right.get(key, [0])
        if ours != theirs:
            kind = found.wrong if ours[0] == theirs[0] else found.lost if ours[0] < theirs[0] else found.doubled
            kind.append(f"{what} of {key}: {ours} are kept, the runs add up to {theirs}")


def _judge_order(rows: Rows, found: Findings) -> None:
    """The ledger is numbered without gaps, and nothing is left to do but to sweep."""
    found.wrong += [f"ledger: {each}" for each in _gaps(rows("SELECT leaf_index FROM ledger_entries"))]
    left = rows("SELECT kind, run_id, last_error FROM jobs WHERE kind <> 'sweep'")
    found.lost += [f"{job['kind']} of run {job['run_id']} was never done: {job['last_error']}" for job in left]


def _gaps(entries: Sequence[Row]) -> Iterator[str]:
    numbers = sorted(entry["leaf_index"] for entry in entries if entry["leaf_index"] is not None)
    if len(numbers) < len(entries):
        yield f"{len(entries) - len(numbers)} entries have no number"
    if numbers != list(range(len(numbers))):
        yield "the numbers have gaps"


def _nonce(row: Mapping[str, Any]) -> str | None:
    """The nonce in a prompt."""
    met = _NONCE.search(row.get("prompt") or "")
    return None if met is None else met[0]
