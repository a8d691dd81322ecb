"""Compare what clients were acknowledged with what the database and the upstream have afterwards.

It reads with SQL of its own and shares no code with the product. Each finding is a sentence: `lost` is what was
acknowledged and is missing or was never settled, `doubled` what exists or was done more than once, `leftover` an
upstream run that is not linked and cancelled, `wrong` a contradiction.
"""

from __future__ import annotations

import re
import struct
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
class ClientRecords:
    """What clients recorded: submissions, receipts of our senders, 2xx that the sandbox got, its runs.

    `unexpected` are answers that must not occur, `broken` what the servers must not do.
    """

    submissions: Sequence[submitting.Submission]
    receipts: Sequence[sending.Receipt]
    acknowledged: Mapping[tuple[str, str], int]
    upstream: Sequence[Row]
    unexpected: Sequence[str] = ()
    broken: Sequence[str] = ()


@dataclass
class Findings:
    """All findings; every list is empty where each acknowledgement was kept."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    leftover: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        """Return every finding with its kind."""
        kinds = {"lost": self.lost, "doubled": self.doubled, "leftover": self.leftover, "wrong": self.wrong}
        return [f"{kind}: {each}" for kind, found in kinds.items() for each in found]


#: The empty status of rows that sum over all states.
EMPTY = "''"
#: The rows of sums: dimension, span, the column of the key, and the status.
SUMMED = (
    ("all", "day", EMPTY, "status"),
    ("all", "day", EMPTY, EMPTY),
    ("all", "month", EMPTY, "status"),
    ("agent", "month", "agent_id", "status"),
    ("agent", "ever", "agent_id", EMPTY),
    ("model", "month", "model", "status"),
    ("model", "ever", "model", EMPTY),
)


def judge(rows: Rows, recorded: ClientRecords) -> Findings:
    """Return all findings."""
    found = Findings(lost=[f"refused: {each}" for each in recorded.unexpected], wrong=list(recorded.broken))
    runs = rows("SELECT * FROM runs")
    _judge_submissions(runs, recorded.submissions, found)
    _judge_ends(rows, runs, found)
    _judge_execs(runs, recorded, found)
    _judge_leftovers(rows, runs, recorded.upstream, found)
    _judge_receipts(rows, recorded, found)
    _judge_contents(rows, found)
    _judge_sums(rows, found)
    _judge_order(rows, found)
    return found


def _judge_submissions(runs: Sequence[Row], submissions: Sequence[submitting.Submission], found: Findings) -> None:
    """Check that what was acknowledged is stored with its id and texts, and no submission as two records."""
    by_id, named = {run["id"]: run for run in runs}, Counter(_nonce(run) for run in runs)
    for each in submissions:
        if named[each.nonce] > 1 or each.others:
            found.doubled.append(f"{each.nonce} has {max(named[each.nonce], 1 + len(each.others))} records")
        if each.run_id is not None and _nonce(by_id.get(each.run_id, {})) != each.nonce:
            found.lost.append(f"the submission {each.nonce}, acknowledged as {each.run_id}")
    known = {each.nonce for each in submissions}
    found.wrong += [f"run {run['id']} was never submitted" for run in runs if _nonce(run) not in known]


def _judge_ends(rows: Rows, runs: Sequence[Row], found: Findings) -> None:
    """Check that each stored run, acknowledged or not, was settled, and that the ledger has its end once."""
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


def _judge_execs(runs: Sequence[Row], recorded: ClientRecords, found: Findings) -> None:
    """Check for one successful exec per nonce over all upstream runs; none only where a cancel was requested."""
    upstream: dict[str | None, list[Row]] = defaultdict(list)
    for each in recorded.upstream:
        upstream[_nonce(each)].append(each)
    for nonce, made in upstream.items():
        execs = sum(each["execCount"] for each in made)
        if execs > 1:
            found.doubled.append(f"{nonce} was executed {execs} times")
    cancelled = {each.nonce for each in recorded.submissions if each.is_cancelled}
    for run in runs:
        nonce, is_requested = _nonce(run), run["cancel_requested_at"] is not None
        if nonce in cancelled and not is_requested:
            found.lost.append(f"the cancel of run {run['id']}")
        execs = sum(each["execCount"] for each in upstream[nonce] if each["id"] == run["upstream_id"])
        if execs == 0 and not (run["status"] == "cancelled" and is_requested):
            found.lost.append(f"run {run['id']} is {run['status']} and was never executed under its upstream id")


def _judge_leftovers(rows: Rows, runs: Sequence[Row], upstream: Sequence[Row], found: Findings) -> None:
    """Check that each upstream run belongs to a record, or is an orphan that is linked and cancelled."""
    links = {link["upstream_id"]: link for link in rows("SELECT * FROM upstream_links")}
    by_upstream_id = {run["upstream_id"]: run for run in runs if run["upstream_id"]}
    for each in upstream:
        link, state = links.get(each["id"]), (each["status"], each["execCount"])
        if link is None:
            found.leftover.append(f"upstream run {each['id']} of {_nonce(each)} is {state} and linked to nothing")
        elif link["role"] == "orphan":
            if state != ("cancelled", 0) or not link["cancelled_at"]:
                found.leftover.append(f"orphan {each['id']} of {_nonce(each)} is {state}")
        elif each["id"] not in by_upstream_id:
            found.leftover.append(
                f"upstream run {each['id']} is linked to {link['run_id']}, which has another one"
            )
        elif by_upstream_id[each["id"]]["status"] != each["status"]:
            kept = by_upstream_id[each["id"]]["status"]
            found.wrong.append(f"upstream run {each['id']} is {each['status']}, our record says {kept}")


def _judge_receipts(rows: Rows, recorded: ClientRecords, found: Findings) -> None:
    """Check that each 2xx is a row or counted on one: each receipt by its id, all of a key by their number."""
    kept = rows("SELECT * FROM deliveries WHERE verdict <> 'rejected'")
    by_id, stored = {row["id"]: row for row in kept}, Counter[tuple[str, str]]()
    for row in kept:
        stored[_key(row)] += 1 + row["repeats"]
    for each in recorded.receipts:
        if each.id not in by_id or not _matches(by_id[each.id], each):
            found.lost.append(f"the delivery {each.id} of {each.key} ({each.source})")
    answered = Counter((each.source, each.key) for each in recorded.receipts) + Counter(recorded.acknowledged)
    for key, count in answered.items():
        if stored[key] < count:
            found.lost.append(f"{count - stored[key]} of {count} deliveries of {key[1]} ({key[0]})")


def _matches(row: Row, receipt: sending.Receipt) -> bool:
    """Return whether the row is the delivery's. A counted repeat has the first one's receipt, with other bytes."""
    is_counted = row["verdict"] != receipt.verdict
    return _key(row) == (receipt.source, receipt.key) and (is_counted or row["body_sha256"] == receipt.body_sha256)


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["source"], row["run_id"] if row["source"] == "watcher" else row["event_id"]


def _judge_contents(rows: Rows, found: Findings) -> None:
    """Check that what is stored of a run is complete: its steps, a document, one accepted event of each key."""
    short = """SELECT id FROM runs WHERE status IN ('completed', 'failed') AND (
        step_count <> (SELECT count(*) FROM run_steps WHERE run_steps.run_id = runs.id)
        OR NOT EXISTS (SELECT 1 FROM run_documents WHERE run_documents.run_id = runs.id))"""
    found.lost += [f"steps or document of run {row['id']}" for row in rows(short)]
    twice = """SELECT event_id, count(*) AS n FROM deliveries WHERE verdict = 'accepted' AND source = 'platform'
        GROUP BY event_id HAVING count(*) > 1"""
    found.doubled += [f"event {row['event_id']} was accepted {row['n']} times" for row in rows(twice)]


def _judge_sums(rows: Rows, found: Findings) -> None:
    """Check that each end was counted once, with its measures, in each row of sums that it belongs to."""
    measured = "coalesce(sum(cost_micros), 0) AS cost, coalesce(sum(duration_ms), 0) AS took"
    for dimension, span, name, status in SUMMED:
        keys = f"coalesce({name}, '') AS name, {status} AS status"
        numbers = f"count(*) AS n, {measured}, count(duration_ms) AS timed"
        counted = rows(f"SELECT {keys}, {numbers} FROM runs WHERE status IN {ENDS} GROUP BY 1, 2")
        which = f"dimension = '{dimension}' AND span = '{span}' AND status {'=' if status == EMPTY else '<>'} ''"
        columns = "key AS name, status, runs AS n, cost_micros AS cost, duration_ms AS took, histogram"
        kept = rows(f"SELECT {columns} FROM rollup_sums WHERE {which}")
        _compare(f"{dimension} by {span}", _added(kept), counted, found)


def _added(kept: Sequence[Row]) -> list[Row]:
    """Return the sums over all periods by name and status; behind its first number a histogram has runs."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in kept:
        runs = struct.unpack(f"<{len(row['histogram']) // 4}I", row["histogram"])[1:]
        numbers = {name: int(row[name]) for name in ("n", "cost", "took")}
        found[row["name"], row["status"]].update({**numbers, "timed": sum(runs)})
    return [{"name": name, "status": status, **sums} for (name, status), sums in found.items()]


def _compare(what: str, kept: Sequence[Row], counted: Sequence[Row], found: Findings) -> None:
    """Compare the stored sums of each name and status with the sums over the runs."""
    left, right = (
        {
            (row["name"], row["status"]): [int(row.get(name, 0)) for name in ("n", "timed", "cost", "took")]
            for row in each
        }
        for each in (kept, counted)
    )
    for key in sorted(left.keys() | right.keys()):
        ours, theirs = left.get(key, [0]), right.get(key, [0])
        if ours != theirs:
            surplus = sum(ours[:2]) - sum(theirs[:2])
            kind = found.lost if surplus < 0 else found.doubled if surplus else found.wrong
            kind.append(f"{what} of {key}: {ours} are kept, the runs add up to {theirs}")


def _judge_order(rows: Rows, found: Findings) -> None:
    """Check that the ledger is numbered without gaps, and that no job is left but the sweep."""
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
    """Return the nonce in a prompt."""
    found = _NONCE.search(row.get("prompt") or "")
    return None if found is None else found[0]
