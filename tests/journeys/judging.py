"""The checks at the end of every journey.

One successful exec per nonce over all upstream runs, one settled record per submission, nothing left queued
upstream, nothing left to do here, one terminal entry in the ledger per run.
"""

from __future__ import annotations

import json

from tests.journeys.harness import Deployment, Row
from tests.patience import until

ENDS = ("run.completed", "run.failed", "run.cancelled", "run.refused")
LIFE = ("run.accepted", "run.created", "run.started", *ENDS)


def judge(
    deployment: Deployment,
    nonce: str,
    *,
    status: str | None = "completed",
    settled_by: str | None = None,
    execs: int | None = 1,
    records: int = 1,
    left_queued: int = 0,
) -> list[Row]:
    """Wait for the end of all runs of a nonce and check them; return their records, oldest first.

    `execs` is the number of successful execs over all upstream runs, `records` that of submissions. With None
    for status or execs any will do that the upstream agrees with.
    """
    until(lambda: _are_settled(deployment, nonce, records), why="not all records of the nonce were settled")
    found = _records(deployment, nonce)
    assert status is None or [run["status"] for run in found] == [status] * records
    assert settled_by is None or {run["settled_by"] for run in found} == {settled_by}
    _judge_work(deployment, found)
    _judge_upstream(deployment, nonce, found, execs, left_queued)
    for run in found:
        _judge_ledger(deployment, run)
        steps = deployment.server.rows("SELECT count(*) AS stored FROM run_steps WHERE run_id = ?", run["id"])
        assert run["step_count"] == steps[0]["stored"]
    return found


def _records(deployment: Deployment, nonce: str) -> list[Row]:
    named = "%" + nonce.replace("_", "!_") + "%"
    return deployment.server.rows("SELECT * FROM runs WHERE prompt LIKE ? ESCAPE '!' ORDER BY seq", named)


def _are_settled(deployment: Deployment, nonce: str, records: int) -> bool:
    found = _records(deployment, nonce)
    assert len(found) <= records, f"{len(found)} records for {records} submissions"
    return len(found) == records and all(run["settled_at"] for run in found)


def _judge_work(deployment: Deployment, found: list[Row]) -> None:
    """Check that no work is left for these runs, except repeated fetches of missing data."""
    marks, ids = ",".join("?" * len(found)), [run["id"] for run in found]
    left = f"""SELECT * FROM jobs JOIN runs ON runs.id = jobs.run_id WHERE run_id IN ({marks}) AND NOT (
        kind = 'settle' AND last_error IS NULL AND runs.upstream_id IS NOT NULL
        AND (runs.output IS NULL OR runs.cost_micros IS NULL))"""
    until(lambda: not deployment.server.rows(left, *ids), why="work was left in the jobs table")


def _judge_upstream(
    deployment: Deployment, nonce: str, found: list[Row], execs: int | None, left_queued: int
) -> None:
    until(lambda: _queued(deployment, nonce) <= left_queued, why="an upstream run was left queued")
    assert _queued(deployment, nonce) == left_queued
    shown = {run["id"]: run for run in deployment.named(nonce)}
    assert execs is None or sum(run["execCount"] for run in shown.values()) == execs
    assert max((run["execCount"] for run in shown.values()), default=0) <= 1
    marks = ",".join("?" * len(found))
    links = deployment.server.rows(
        f"SELECT * FROM upstream_links WHERE run_id IN ({marks})", *(run["id"] for run in found)
    )
    assert {link["upstream_id"] for link in links if link["role"] == "run"} == {
        run["upstream_id"] for run in found if run["upstream_id"]
    }
    started = {run["id"] for run in found if run["instructions"] is not None}
    for link in links:
        shown_run = shown[link["upstream_id"]]
        expected = (shown_run["status"], 1) if link["run_id"] in started else ("cancelled", 0)
        assert link["role"] == "run" or (shown_run["status"], shown_run["execCount"]) == expected
        assert shown_run["status"] not in ("queued", "running")
    for run in found:
        if run["upstream_id"]:
            _judge_same(run, shown[run["upstream_id"]])


def _judge_same(run: Row, shown: Row) -> None:
    """Check that the upstream run has the submitted values, and the same end as the record."""
    asked = run["object_ids"]
    asked = json.loads(asked) if isinstance(asked, str) else asked  # as SQLite has it
    assert run["origin"] == "adopted" or shown["objectIds"] == asked
    assert (shown["prompt"], shown["guidance"]) == (run["prompt"], run["guidance"])
    assert shown["status"] == ("cancelled" if run["status"] == "refused" else run["status"])


def _queued(deployment: Deployment, nonce: str) -> int:
    return sum(run["status"] == "queued" for run in deployment.named(nonce))


def _judge_ledger(deployment: Deployment, run: Row) -> None:
    """Check the ledger: accepted once and first, created and started at most once, ended once, as stored.

    Of an adopted run little is known at first, so a request or a delivery may come before its acceptance.
    """
    kinds = deployment.ledger_kinds(run)
    assert [kind for kind in kinds if kind in ENDS] == [f"run.{run['status']}"]
    first = kinds[0] if run["origin"] == "submitted" else next(kind for kind in kinds if kind in LIFE)
    assert first == "run.accepted"
    assert max(kinds.count(kind) for kind in ("run.accepted", "run.created", "run.started")) == 1
    assert (run["upstream_id"] is not None) == ("run.created" in kinds)
    end = "SELECT body FROM ledger_entries WHERE run_id = ? AND kind = ?"
    facts = json.loads(deployment.server.rows(end, run["id"], f"run.{run['status']}")[0]["body"])["facts"]
    assert facts["settledBy"] == run["settled_by"]
