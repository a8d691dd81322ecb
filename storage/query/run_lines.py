"""Runs as rows of answers: the columns that an answer shows, with instants as text and the tags as an object."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, bindparam, case, null, select

from storage import ids, states
from storage.engine import column_types, dialect, prepared
from storage.engine.membership import is_among
from storage.repositories import runs
from storage.tables.runs import RUN_TAGS, RUNS, UPSTREAM_LINKS

#: A row of runs; its first columns are LINE or FULL, in that order.
Line = prepared.Row

#: The columns of a run in lists.
LINE = (
    *("id", "upstream_id", "origin", "execution", "status", "agent_id", "prompt", "model", "tags", "submitted_by"),
    *("accepted_at", "created_at", "started_at", "completed_at", "settled_at", "settled_by"),
    *("cancel_requested_at", "expected_by", "missing_since"),
    *("duration_ms", "input_tokens", "output_tokens", "tool_calls", "cost_micros"),
    *("summary", "failure_reason", "failure_source", "step_count", "pruned_at", "captured_at", "capture_note"),
    *("again_of", "review"),
)
#: The columns of one run.
FULL = (
    *LINE,
    *("guidance", "instructions", "object_ids", "output", "idempotency_key", "request_sha256"),
    *("refresh_requested_at", "asked_at", "watched"),
)

#: The guarantee of a run's execution; null for an adopted run, which is never executed here.
_EXECUTION = case(
    (RUNS.c.origin == states.Origin.ADOPTED.value, null()),
    (RUNS.c.instructions.is_(None), states.Execution.EXACTLY_ONCE.value),
    else_=states.Execution.AT_MOST_ONCE.value,
)


def columns(connection: Connection) -> list[ColumnElement[Any]]:
    """Return the columns of LINE, and the key."""
    return [*(column(connection, name, is_whole=False) for name in LINE), RUNS.c.seq]


def column(connection: Connection, name: str, *, is_whole: bool = True) -> ColumnElement[Any]:
    """Return a column of runs by its name, in lists with the beginning of the prompt alone."""
    match name:
        case "execution":
            return _EXECUTION.label(name)
        case "tags":
            of_run = select(RUN_TAGS.c.key, RUN_TAGS.c.value).where(RUN_TAGS.c.run_seq == RUNS.c.seq)
            tags = of_run.order_by(RUN_TAGS.c.key).correlate(RUNS).subquery().c
            return select(dialect.json_object(connection, tags.key, tags.value)).scalar_subquery().label(name)
        case "prompt" if not is_whole:
            return runs.SHORT_PROMPT
    return column_types.spelled(RUNS.c[name])


def of_keys(connection: Connection, seqs: Sequence[int]) -> list[Line]:
    """Return the lines of these runs, in the order of the keys given."""
    by_seq = {row.seq: row for row in _OF_KEYS.all(connection, {"seqs": seqs})}
    return [by_seq[seq] for seq in seqs if seq in by_seq]


def changed(connection: Connection, ids_: Sequence[str], low: int, high: int) -> list[Line]:
    """Return the lines of those of these runs whose keys lie between two, both included."""
    given = {"ids": ids_, "low": low, "high": high}
    return list(connection.execute(_of_ids(connection), given))


def find(connection: Connection, either_id: str, names: tuple[str, ...] = FULL) -> Line | None:
    """Return columns of the run that `runs.find` returns, and then its key."""
    by_id, by_upstream_id = _finders(names)
    parameters = {"id": either_id}
    row = by_id.first(connection, parameters) if ids.is_ours(either_id) else None
    return row or by_upstream_id.first(connection, parameters)


_OF_KEYS = prepared.Prepared(lambda connection: select(*columns(connection)).where(is_among(RUNS.c.seq, "seqs")))


@dialect.built_once
def _of_ids(connection: Connection) -> Any:
    edges = [bindparam("low", type_=BigInteger), bindparam("high", type_=BigInteger)]
    chosen = select(*columns(connection)).where(is_among(RUNS.c.id, "ids"))
    return chosen.where(RUNS.c.seq >= edges[0], RUNS.c.seq <= edges[1])


@functools.cache
def _finders(names: tuple[str, ...]) -> tuple[prepared.Prepared, prepared.Prepared]:
    """Return the statements that find a run by our id and by an upstream id."""
    linked = select(UPSTREAM_LINKS.c.run_id).where(UPSTREAM_LINKS.c.upstream_id == bindparam("id"))

    def by(run_id: Any) -> prepared.Prepared:
        def build(connection: Connection) -> Any:
            return select(*(column(connection, name) for name in names), RUNS.c.seq).where(RUNS.c.id == run_id)

        return prepared.Prepared(build)

    return by(bindparam("id")), by(linked.scalar_subquery())
