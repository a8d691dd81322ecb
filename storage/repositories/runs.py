"""Statements about runs: the row itself, its tags, and lists of runs."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    or_,
    select,
)
from sqlalchemy import update as sql_update

from storage import ids, states
from storage.engine import bulk_insert, column_types, dialect, prepared
from storage.engine.column_types import instant
from storage.engine.membership import is_among
from storage.tables.runs import RUN_TAGS, RUNS, UPSTREAM_LINKS

#: Characters of the prompt in lists; the upstream cuts it at the same length.
LIST_PROMPT_LENGTH = 200
#: Submissions that are compared at once to find lost creates. With more of them open, unknown runs wait.
MAX_UNLINKED = 1000


@dataclass(frozen=True, slots=True)
class Submission:
    """A run that a caller submits.

    `request_sha256` decides whether a repeated idempotency key means the same request.
    """

    id: str
    accepted_at: datetime
    expected_by: datetime
    submitted_by: str
    actor: str
    agent_id: str | None
    prompt: str
    guidance: str | None = None
    instructions: str | None = None
    model: str | None = None
    object_ids: tuple[str, ...] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    request_sha256: str | None = None
    again_of: str | None = None

    @property
    def weight(self) -> int:
        """Return roughly the bytes, for the bounds of a commit batch."""
        return len(self.prompt) + len(self.guidance or "") + len(self.instructions or "") + 1024


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `runs` with its tags. Instants are in UTC, durations in milliseconds, costs in micro-dollars."""

    seq: int
    id: str
    upstream_id: str | None
    origin: states.Origin
    status: states.Status
    agent_id: str | None
    prompt: str | None
    guidance: str | None
    instructions: str | None
    model: str | None
    object_ids: Sequence[str] | None
    submitted_by: str
    idempotency_key: str | None
    request_sha256: str | None
    accepted_at: datetime
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    settled_at: datetime | None
    settled_by: states.Source | None
    cancel_requested_at: datetime | None
    refresh_requested_at: datetime | None
    expected_by: datetime | None
    asked_at: datetime | None
    missing_since: datetime | None
    lost_create_since: datetime | None
    watched: bool
    duration_ms: int | None
    input_tokens: int | None
    output_tokens: int | None
    tool_calls: int | None
    cost_micros: int | None
    output: str | None
    summary: str | None
    failure_reason: str | None
    failure_source: str | None
    step_count: int
    pruned_at: datetime | None
    captured_at: datetime | None
    capture_note: str | None
    restored_at: datetime | None
    again_of: str | None = None
    review: states.Judgement | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_terminal(self) -> bool:
        """Return whether the state is final."""
        return self.status in states.TERMINAL

    @property
    def execution(self) -> states.Execution | None:
        """Return the guarantee of the run's execution; None for an adopted run, which is never executed here."""
        if self.origin is states.Origin.ADOPTED:
            return None
        return states.Execution.EXACTLY_ONCE if self.instructions is None else states.Execution.AT_MOST_ONCE

    @property
    def may_reopen(self) -> bool:
        """Return whether this is a refused adoption that is not pruned; no other ended run may be reopened."""
        was_refused = self.status is states.REOPENED[0] and self.origin is states.Origin.ADOPTED
        return was_refused and self.pruned_at is None

    def is_named(self, either_id: str) -> bool:
        """Return whether the id is this run's own, ours or the upstream's; the id of its orphan is not."""
        return either_id in (self.id, self.upstream_id)

    @property
    def is_complete(self) -> bool:
        """Return whether result and usage were present when the run was last fetched."""
        return self.output is not None and self.cost_micros is not None


def insert(connection: Connection, row: Mapping[str, Any]) -> int | None:
    """Insert a run; return its seq, or None where a unique constraint already holds such a run."""
    return insert_new(connection, [row]).get(row["id"])


def insert_new(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Insert runs; return the seq of each new one by its id, without those that break a unique constraint."""
    if not dialect.is_embedded(connection):
        return bulk_insert.insert_new(connection, RUNS, rows)
    # A file has one writer, which can read before which runs exist: that is faster than RETURNING.
    given = {"ids": [row["id"] for row in rows]}
    known = {row.id for row in _SEQS.all(connection, given)}
    bulk_insert.insert(connection, RUNS, rows, " ON CONFLICT DO NOTHING")
    return {row.id: row.seq for row in _SEQS.all(connection, given) if row.id not in known}


def tag(connection: Connection, tagged: Iterable[tuple[int, str, Mapping[str, str]]]) -> None:
    """Insert the tags of new runs, each given by its seq and id."""
    rows = [
        {"run_seq": seq, "run_id": run_id, "key": key, "value": tags[key]}
        for seq, run_id, tags in tagged
        for key in sorted(tags)
    ]
    bulk_insert.insert(connection, RUN_TAGS, rows)


def replace_tags(connection: Connection, run: Run, tags: Mapping[str, str]) -> None:
    """Put these tags in place of those of a run."""
    connection.execute(delete(RUN_TAGS).where(RUN_TAGS.c.run_seq == run.seq))
    tag(connection, [(run.seq, run.id, tags)])


def find(connection: Connection, either_id: str) -> Run | None:
    """Return the run with this id, ours or the upstream's; the id of an orphan finds the run it belongs to."""
    return _find(connection, either_id, _BY_ID, _BY_UPSTREAM_ID)


def get_for_update(connection: Connection, either_id: str) -> Run | None:
    """Return the run that `find` returns, and lock its row until the transaction ends."""
    return _find(connection, either_id, _LOCK, _LOCK_BY_UPSTREAM_ID)


def lock(connection: Connection, run_id: str) -> Run:
    """Lock the row of a run of ours, which exists, until the transaction ends; return it without its tags."""
    (row,) = _LOCK.all(connection, {"id": run_id})
    return _run(row)


def _find(
    connection: Connection, either_id: str, by_id: prepared.Prepared, by_upstream_id: prepared.Prepared
) -> Run | None:
    row = by_id.first(connection, {"id": either_id}) if ids.is_ours(either_id) else None
    row = row or by_upstream_id.first(connection, {"id": either_id})
    return None if row is None else _with_tags(connection, [row])[0]


def find_pruned(connection: Connection, run_ids: Sequence[str]) -> set[str]:
    """Return which of these runs are pruned, and lock the others against pruning until the transaction ends."""
    rows = connection.execute(_LOCK_PRUNED, {"ids": list(run_ids)}) if run_ids else ()
    return {row.id for row in rows if row.pruned_at is not None}


def resolve_id(connection: Connection, named: str) -> str:
    """Return our id of the run that either id names; return an unknown id unchanged, so that it matches no run."""
    found = find(connection, named)
    return named if found is None else found.id


def find_many(connection: Connection, run_ids: Sequence[str]) -> dict[str, Run]:
    """Return runs by their ids, without long texts and tags."""
    return {row.id: _run(row) for row in connection.execute(_LISTED, {"ids": run_ids})}


def get_full(connection: Connection, seqs: Sequence[int]) -> list[Run]:
    """Return the runs of these keys with all their columns and tags, in the order of the keys."""
    rows = connection.execute(_ALL.where(RUNS.c.seq.in_(seqs)).order_by(RUNS.c.seq))
    return _with_tags(connection, rows.all())


def find_by_idempotency_key(connection: Connection, submitted_by: str, key: str) -> Run | None:
    """Return the run that was submitted under an idempotency key."""
    row = _BY_KEY.first(connection, {"submitted_by": submitted_by, "key": key})
    return None if row is None else _with_tags(connection, [row])[0]


def status(connection: Connection, run_id: str) -> states.Status | None:
    """Return only the state of a run of ours, for callers that wait for its end."""
    found = _STATUS.first(connection, {"id": run_id})
    return None if found is None else states.read(states.Status, found.status)


def transition(connection: Connection, run_id: str, to: states.Status, values: Mapping[str, Any]) -> bool:
    """Make a legal transition; return False where the run's state does not allow it."""
    changes = {"status": to.value, **values}
    if any(isinstance(each, ClauseElement) for each in values.values()):
        return update(connection, and_(RUNS.c.id == run_id, RUNS.c.status.in_(states.predecessors(to))), changes)
    parameters = {"of_run": run_id} | {f"new_{name}": value for name, value in changes.items()}
    return _transition(to, tuple(changes)).run(connection, parameters) > 0


@functools.lru_cache(256)
def _transition(to: states.Status, names: Sequence[str]) -> prepared.Change:
    """Return the statement for a transition that sets these columns."""
    is_before = or_(false(), *(RUNS.c.status == status.value for status in states.predecessors(to)))
    moved = sql_update(RUNS).where(RUNS.c.id == bindparam("of_run"), is_before)
    return prepared.Change(lambda _: moved.values({name: bindparam(f"new_{name}") for name in names}))


def update(connection: Connection, which: ColumnElement[bool], values: Mapping[str, Any]) -> bool:
    """Update the rows that `which` selects; return whether there were any."""
    return connection.execute(sql_update(RUNS).where(which).values(**values)).rowcount > 0


def similar_submissions(connection: Connection, agent_id: str, prompt_head: str, latest: datetime) -> list[Run]:
    """Return up to a thousand similar submissions, newest first, to match an upstream run with its submission.

    They go to the same agent, were accepted up to `latest`, and their prompts begin with `prompt_head`.
    """
    which = (
        RUNS.c.origin == states.Origin.SUBMITTED.value,
        RUNS.c.agent_id == agent_id,
        func.substr(RUNS.c.prompt, 1, len(prompt_head)) == prompt_head,
        RUNS.c.accepted_at <= latest,
    )
    return [_run(row) for row in connection.execute(_ALL.where(*which).order_by(RUNS.c.seq.desc()).limit(1000))]


def unlinked(connection: Connection, prompt: str | None = None) -> list[Run]:
    """Return submissions that may have an unlinked run upstream: without an upstream id, or after a lost create.

    With `prompt`, return only those that have exactly this prompt.
    """
    is_ours = RUNS.c.origin == states.Origin.SUBMITTED.value
    if prompt is not None:
        is_ours = and_(is_ours, RUNS.c.prompt == prompt)
    is_open = and_(RUNS.c.status == states.ACCEPTED.value, RUNS.c.upstream_id.is_(None))
    # Two queries, each along its index: joined by OR they would read the whole table.
    either = (is_open, RUNS.c.lost_create_since.is_not(None))
    queries = [_SUBMITTED.where(is_ours, condition).limit(MAX_UNLINKED) for condition in either]
    found = {row.seq: _run(row) for query in queries for row in connection.execute(query)}
    return [found[seq] for seq in sorted(found)[:MAX_UNLINKED]]


def oldest_open(connection: Connection) -> datetime | None:
    """Return when the oldest run that may still end was created upstream, or accepted where that is unknown."""
    which = (RUNS.c.settled_at.is_(None), RUNS.c.upstream_id.is_not(None), RUNS.c.status != states.LOST.value)
    since = func.coalesce(RUNS.c.created_at, RUNS.c.accepted_at)
    oldest = select(func.min(since, type_=column_types.Instant())).where(*which)
    found: datetime | None = connection.execute(oldest).scalar_one()
    return found


def unasked(connection: Connection, before: datetime, lost_before: datetime, limit: int) -> list[Run]:
    """Return open runs that the upstream was not asked about since `before`, the longest unasked first.

    For lost runs the limit is `lost_before`.
    """
    is_lost = RUNS.c.status == states.LOST.value
    limit_of_run = case((is_lost, instant(lost_before)), else_=instant(before))
    due = or_(RUNS.c.asked_at.is_(None), RUNS.c.asked_at < limit_of_run)
    open_ = (RUNS.c.settled_at.is_(None), RUNS.c.upstream_id.is_not(None), RUNS.c.status != states.ACCEPTED.value)
    # A missing run is asked about by its own settle job, less and less often.
    not_missing = or_(RUNS.c.missing_since.is_(None), is_lost)
    oldest = _ALL.where(*open_, not_missing, due).order_by(RUNS.c.asked_at.asc().nulls_first()).limit(limit)
    return [_run(row) for row in connection.execute(oldest)]


def other_upstream_id(connection: Connection, run_id: str) -> str | None:
    """Return the upstream id of another run that the upstream had when it settled, the last one to settle."""
    reported = [status.value for status in sorted(states.REPORTED)]
    which = (RUNS.c.id != run_id, RUNS.c.upstream_id.is_not(None), RUNS.c.status.in_(reported))
    newest = select(RUNS.c.upstream_id).where(*which).order_by(RUNS.c.settled_at.desc()).limit(1)
    return connection.execute(newest).scalar_one_or_none()


def overdue(connection: Connection, now: datetime) -> int:
    """Return how many runs should have ended by now and have not."""
    late = select(func.count()).where(RUNS.c.settled_at.is_(None), RUNS.c.expected_by < now)
    return connection.execute(late).scalar_one()


def _run(row: prepared.Row, tags: Mapping[str, str] | None = None) -> Run:
    """Return the run of a row whose last columns are those of a run, in their order."""
    values: dict[str, Any] = dict(zip(_NAMES, row[-len(_NAMES) :], strict=True))
    values["origin"] = states.read(states.Origin, row.origin)
    values["status"] = states.read(states.Status, row.status)
    values["settled_by"] = None if row.settled_by is None else states.read(states.Source, row.settled_by)
    values["review"] = None if row.review is None else states.read(states.Judgement, row.review)
    return Run(**values, tags=tags or {})


def _with_tags(connection: Connection, rows: Sequence[prepared.Row]) -> list[Run]:
    tags: dict[int, dict[str, str]] = {}
    for tag in _TAGS.all(connection, {"seqs": [row.seq for row in rows]}):
        tags.setdefault(tag.run_seq, {})[tag.key] = tag.value
    return [_run(row, tags.get(row.seq)) for row in rows]


_NAMES = [each.name for each in fields(Run) if each.name != "tags"]
_ALL = select(*(RUNS.c[name] for name in _NAMES))
#: The beginning of the prompt, as lists show it.
SHORT_PROMPT = func.substr(RUNS.c.prompt, 1, LIST_PROMPT_LENGTH).label("prompt")
_SHORTENED = {
    "prompt": SHORT_PROMPT,
    # A list shows whether there is an output; the run itself shows which.
    "output": func.substr(RUNS.c.output, 1, 0).label("output"),
    "guidance": func.substr(RUNS.c.guidance, 1, 0).label("guidance"),
    "instructions": func.substr(RUNS.c.instructions, 1, 0).label("instructions"),
}
_BY_ID = prepared.Prepared(lambda _: _ALL.where(RUNS.c.id == bindparam("id")))
_LOCK = prepared.Prepared(lambda _: _ALL.where(RUNS.c.id == bindparam("id")).with_for_update())
_SEQS = prepared.Prepared(lambda _: select(RUNS.c.id, RUNS.c.seq).where(is_among(RUNS.c.id, "ids")))
_STATUS = prepared.Prepared(lambda _: select(RUNS.c.status).where(RUNS.c.id == bindparam("id")))
#: Without the results, which may be large: enough to compare submissions.
_SUBMITTED = select(
    *(RUNS.c[n] if n in ("prompt", "guidance", "instructions") else _SHORTENED.get(n, RUNS.c[n]) for n in _NAMES)
)
_LISTED = select(*(_SHORTENED.get(name, RUNS.c[name]) for name in _NAMES)).where(is_among(RUNS.c.id, "ids"))
#: In the order in which every transaction locks these rows.
_LOCK_PRUNED = (
    select(RUNS.c.id, RUNS.c.pruned_at)
    .where(is_among(RUNS.c.id, "ids"))
    .order_by(RUNS.c.id)
    .with_for_update(read=True)
)
_RUN_OF_LINK = select(UPSTREAM_LINKS.c.run_id).where(UPSTREAM_LINKS.c.upstream_id == bindparam("id"))
_OF_LINK = _ALL.where(RUNS.c.id == _RUN_OF_LINK.scalar_subquery())
_BY_UPSTREAM_ID = prepared.Prepared(lambda _: _OF_LINK)
_LOCK_BY_UPSTREAM_ID = prepared.Prepared(lambda _: _OF_LINK.with_for_update())
_BY_KEY = prepared.Prepared(
    lambda _: _ALL.where(
        RUNS.c.submitted_by == bindparam("submitted_by"), RUNS.c.idempotency_key == bindparam("key")
    )
)
_TAGS = prepared.Prepared(
    lambda _: select(RUN_TAGS).where(is_among(RUN_TAGS.c.run_seq, "seqs")).order_by(RUN_TAGS.c.key)
)
