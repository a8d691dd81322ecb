"""The judge can fail: each forbidden state is produced once, and found."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from tests.faults import judge, sending, submitting

AT = "2026-11-23T12:00:00.000000Z"
NONCE, OTHER = "nonce_a1", "nonce_b2"
#: Two submissions as they are when all went well: one after a lost create that left an orphan, one cancelled.
#: The sums of the run that ended, of the one that was cancelled, and of both.
ZERO = ("cost_micros", "input_tokens", "output_tokens", "timed", "duration_ms", "max_duration_ms")
TIMED = struct.pack("<2I", 0, 1)
BY_STATUS = {"completed": {"runs": 1, "timed": 1, "histogram": TIMED}, "cancelled": {"runs": 1, "histogram": b""}}
TOTAL = {"": {"runs": 2, "timed": 1, "histogram": TIMED}}
SOUND: dict[str, list[dict[str, Any]]] = {
    "runs": [
        {
            "id": "r1",
            "upstream_id": "u1",
            "status": "completed",
            "prompt": f"Look. {NONCE}",
            "step_count": 1,
            "duration_ms": 0,
        },
        {
            "id": "r2",
            "upstream_id": "u2",
            "status": "cancelled",
            "prompt": f"Look. {OTHER}",
            "cancel_requested_at": AT,
        },
    ],
    "run_steps": [{"run_id": "r1", "position": 0, "salt": b""}],
    "run_documents": [
        {"run_id": "r1", "version": 1, "fetched_at": AT, "body": b"", "body_sha256": "", "size": 0},
    ],
    "upstream_links": [
        {"upstream_id": "u1", "run_id": "r1", "role": "run"},
        {"upstream_id": "u2", "run_id": "r2", "role": "run"},
        {"upstream_id": "u3", "run_id": "r1", "role": "orphan", "cancelled_at": AT},
    ],
    "ledger_entries": [
        {"run_id": "r1", "kind": "run.accepted"},
        {"run_id": "r2", "kind": "run.accepted"},
        {"run_id": "r1", "kind": "run.completed"},
        {"run_id": "r2", "kind": "run.cancelled"},
    ],
    "deliveries": [
        {"id": "d1", "source": "watcher", "run_id": "r1", "verdict": "accepted", "repeats": 2},
        {"id": "d2", "source": "platform", "event_id": "e1", "verdict": "accepted"},
    ],
    "rollup_sums": [
        {"dimension": dimension, "span": span, "status": status, "period": "", **sums}
        for dimension, span, _, of_state in judge.SUMMED
        for status, sums in (TOTAL if of_state == judge.EMPTY else BY_STATUS).items()
    ],
    "jobs": [{"id": "j1", "kind": "sweep", "run_id": "", "priority": 3, "created_at": AT, "due_at": AT}],
}
#: What a row of a table needs in addition.
NEEDED: dict[str, dict[str, Any]] = {
    "runs": {"origin": "submitted", "submitted_by": "backend", "accepted_at": AT, "settled_at": AT},
    "upstream_links": {"linked_at": AT},
    "ledger_entries": {"actor": "worker", "at": AT, "body": "{}", "leaf_hash": b""},
    "deliveries": {"received_at": AT, "body": b"", "body_sha256": "sha", "size": 0},
    "rollup_sums": {"key": "", "runs": 0} | dict.fromkeys(ZERO, 0),
}
UPSTREAM = [
    {"id": "u1", "prompt": f"Look. {NONCE}", "status": "completed", "execCount": 1},
    {"id": "u2", "prompt": f"Look. {OTHER}", "status": "cancelled", "execCount": 0},
    {"id": "u3", "prompt": f"Look. {NONCE}", "status": "cancelled", "execCount": 0},
]
RECORDED = judge.ClientRecords(
    [submitting.Submission(NONCE, "r1"), submitting.Submission(OTHER, "r2", is_cancelled=True)],
    [
        sending.Receipt("watcher", "r1", "d1", "accepted", "sha"),
        sending.Receipt("watcher", "r1", "d1", "duplicate", "of other bytes"),
    ],
    {("watcher", "r1"): 1, ("platform", "e1"): 1},
    UPSTREAM,
)

Spoil = Callable[[str], None]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Make a database in which each acknowledgement was kept."""
    made = create_engine(database_url)
    with made.begin() as connection:
        for table, rows in SOUND.items():
            for number, row in enumerate(rows):
                own = {"id": f"l{number}", "leaf_index": number} if table == "ledger_entries" else {}
                whole = NEEDED.get(table, {}) | own | row
                names, marks = ", ".join(whole), ", ".join(f":{name}" for name in whole)
                connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), whole)
    yield made
    made.dispose()


@pytest.fixture
def spoil(engine: Engine) -> Spoil:
    """Change the database so that one acknowledgement was not kept."""

    def spoiled(statement: str) -> None:
        with engine.begin() as connection:
            connection.execute(text(statement))

    return spoiled


def found(engine: Engine, **changes: Any) -> judge.Findings:
    """Return the findings of the judge."""

    def rows(statement: str) -> list[judge.Row]:
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement)).mappings()]

    return judge.judge(rows, replace(RECORDED, **changes))


def test_where_everything_was_kept_nothing_is_found(engine: Engine) -> None:
    assert found(engine).all == []


LOST = {
    "the run of an acknowledged submission": "DELETE FROM runs WHERE id = 'r1'",
    "a run that was never settled": "UPDATE runs SET status = 'running', settled_at = NULL WHERE id = 'r1'",
    "an end that is not in the ledger": "DELETE FROM ledger_entries WHERE kind = 'run.completed'",
    "a delivery that was acknowledged": "DELETE FROM deliveries WHERE id = 'd1'",
    "an event that only the sandbox saw acknowledged": "DELETE FROM deliveries WHERE id = 'd2'",
    "one of several deliveries that are counted on a row": "UPDATE deliveries SET repeats = 1 WHERE id = 'd1'",
    "the bytes of a delivery": "UPDATE deliveries SET body_sha256 = 'of others' WHERE id = 'd1'",
    "a step": "DELETE FROM run_steps",
    "the document": "DELETE FROM run_documents",
    "a request to cancel that was acknowledged": "UPDATE runs SET cancel_requested_at = NULL WHERE id = 'r2'",
    "an end that was not counted": "DELETE FROM rollup_sums WHERE status = 'completed'",
    "a duration that was not counted": (
        "UPDATE rollup_sums SET histogram = (SELECT c.histogram FROM rollup_sums AS c WHERE c.status = 'cancelled'"
        " AND c.dimension = 'all' AND c.span = 'day') WHERE span = 'day'"
    ),
    "work that nobody does": "UPDATE jobs SET kind = 'settle', run_id = 'r1'",
}


@pytest.mark.parametrize("statement", LOST.values(), ids=LOST)
def test_what_was_lost_is_found(engine: Engine, spoil: Spoil, statement: str) -> None:
    spoil(statement)
    assert found(engine).lost


def test_a_run_that_was_never_executed_is_found(engine: Engine) -> None:
    assert found(engine, upstream=[UPSTREAM[0] | {"execCount": 0}, *UPSTREAM[1:]]).lost


def test_a_genuine_delivery_that_was_turned_away_is_found(engine: Engine) -> None:
    assert found(engine, unexpected=["callback: 404"]).lost


DOUBLED = {
    "two records of one submission": "UPDATE runs SET prompt = (SELECT prompt FROM runs WHERE id = 'r1')",
    "two ends in the ledger": "UPDATE ledger_entries SET kind = 'run.failed', run_id = 'r1' WHERE id = 'l1'",
    "an end that was counted twice": "UPDATE rollup_sums SET runs = 2 WHERE status = 'cancelled'",
    "an event that was accepted twice": "UPDATE deliveries SET source = 'platform', event_id = 'e1'",
}


@pytest.mark.parametrize("statement", DOUBLED.values(), ids=DOUBLED)
def test_what_was_doubled_is_found(engine: Engine, spoil: Spoil, statement: str) -> None:
    spoil(statement)
    assert found(engine).doubled


@pytest.mark.parametrize("execs", [(1, 1, 0), (1, 0, 1), (0, 1, 1), (2, 0, 0)])
def test_two_successful_execs_of_one_nonce_are_found(engine: Engine, execs: tuple[int, ...]) -> None:
    nonce = UPSTREAM[0]["prompt"]
    upstream = [each | {"prompt": nonce, "execCount": n} for each, n in zip(UPSTREAM, execs, strict=True)]
    assert found(engine, upstream=upstream).doubled


def test_a_second_acknowledgement_with_another_id_is_found(engine: Engine) -> None:
    twice = submitting.Submission(NONCE, "r1", others=("r9",))
    assert found(engine, submissions=[twice, RECORDED.submissions[1]]).doubled


LOOSE = {
    "a leftover that is not linked": "DELETE FROM upstream_links WHERE upstream_id = 'u3'",
    "an orphan whose cancel is not noted": "UPDATE upstream_links SET cancelled_at = NULL",
    "a link to a run that has another one": "UPDATE upstream_links SET role = 'run'",
}


@pytest.mark.parametrize("statement", LOOSE.values(), ids=LOOSE)
def test_a_leftover_is_found(engine: Engine, spoil: Spoil, statement: str) -> None:
    spoil(statement)
    assert found(engine).leftover


@pytest.mark.parametrize("state", [{"status": "queued"}, {"status": "completed"}, {"execCount": 1}])
def test_an_orphan_that_is_not_cancelled_is_found(engine: Engine, state: judge.Row) -> None:
    assert found(engine, upstream=[*UPSTREAM[:2], UPSTREAM[2] | state]).leftover


WRONG = {
    "a run that nobody submitted": "UPDATE runs SET prompt = 'Look. nonce_c3' WHERE id = 'r2'",
    "another end in the ledger": "UPDATE ledger_entries SET kind = 'run.failed' WHERE kind = 'run.completed'",
    "another end upstream": "UPDATE runs SET status = 'failed' WHERE id = 'r1'",
    "an entry without a number": "UPDATE ledger_entries SET leaf_index = NULL WHERE id = 'l1'",
    "a sum that is not that of the runs": "UPDATE rollup_sums SET cost_micros = 1",
    "a gap in the numbers": "UPDATE ledger_entries SET leaf_index = 9 WHERE id = 'l1'",
}


@pytest.mark.parametrize("statement", WRONG.values(), ids=WRONG)
def test_what_contradicts_itself_is_found(engine: Engine, spoil: Spoil, statement: str) -> None:
    spoil(statement)
    assert found(engine).wrong
