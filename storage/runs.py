"""Statements about runs: the row itself, its tags, and lists of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, case, func, or_, select, update

from storage import columns, conditions, dialect, filters, ids, search, states
from storage.columns import instant
from storage.tables import RUN_TAGS, RUNS, UPSTREAM_LINKS

#: Characters of the prompt in lists, as the upstream cuts it.
LISTED_PROMPT = 200
#: How many submissions are looked at for strays at once; with more of them open, strangers wait.
UNLINKED = 1000


@dataclass(frozen=True, slots=True)
class Submission:
    """A run that a caller hands us. `request_sha256` tells whether a repeated idempotency key means the same."""

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

    @property
    def weight(self) -> int:
        """Bytes, roughly, for the bounds of the door."""
        return len(self.prompt) + len(self.guidance or "") + len(self.instructions or "") + 1024


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `runs` with its tags. Instants in UTC, durations in milliseconds, costs in micro-dollars."""

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
    settled_by: states.Road | None
    cancel_requested_at: datetime | None
    refresh_requested_at: datetime | None
    expected_by: datetime | None
    asked_at: datetime | None
    missing_since: datetime | None
    stray_since: datetime | None
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
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_terminal(self) -> bool:
        """Whether the state will never change again."""
        return self.status in states.TERMINAL

    @property
    def execution(self) -> states.Execution | None:
        """What we promise of its execution; None for an adopted run, which we never execute."""
        if self.origin is states.Origin.ADOPTED:
            return None
        return states.Execution.EXACTLY_ONCE if self.instructions is None else states.Execution.AT_MOST_ONCE

    @property
    def may_reopen(self) -> bool:
        """Whether it is an adoption that was refused, the one end that may be left. What was pruned stays so."""
        was_refused = self.status is states.REOPENED[0] and self.origin is states.Origin.ADOPTED
        return was_refused and self.pruned_at is None

    def is_named(self, either_id: str) -> bool:
        """Whether the id is this run's, ours or the upstream's; that of an orphan of it is not."""
        return either_id in (self.id, self.upstream_id)

    @property
    def is_complete(self) -> bool:
        """Whether result and usage were there when it was last fetched."""
        return self.output is not None and self.cost_micros is not None


def insert(connection: Connection, row: Mapping[str, Any]) -> int | None:
    """Inserts a run; its seq, or None where a unique constraint knows it already."""
    statement = dialect.insert(connection, RUNS).values(**row).on_conflict_do_nothing()
    found: int | None = connection.execute(statement.returning(RUNS.c.seq)).scalar_one_or_none()
    return found


def tag(connection: Connection, seq: int, run_id: str, tags: Mapping[str, str]) -> None:
    """Writes the tags of a new run."""
    if tags:
        rows = [{"run_seq": seq, "run_id": run_id, "key": key, "value": tags[key]} for key in sorted(tags)]
        connection.execute(RUN_TAGS.insert(), rows)


def find(connection: Connection, either_id: str) -> Run | None:
    """The run of that id, ours or the upstream's; an orphan's id finds the run it strayed from."""
    return _found(connection, either_id, _BY_ID, _BY_UPSTREAM_ID)


def hold(connection: Connection, either_id: str) -> Run | None:
    """The same run for who decides by what it holds: nobody else changes it until the transaction ends."""
    return _found(connection, either_id, _BY_ID.with_for_update(), _BY_UPSTREAM_ID.with_for_update())


def hold_open(connection: Connection, run_id: str) -> int | None:
    """The seq of a run of ours that has not ended, and is held as above; None of any other."""
    seq: int | None = connection.execute(_OPEN, {"id": run_id}).scalar_one_or_none()
    return seq


def _found(connection: Connection, either_id: str, ours: Select[Any], theirs: Select[Any]) -> Run | None:
    row = connection.execute(ours, {"id": either_id}).first() if ids.is_ours(either_id) else None
    row = row or connection.execute(theirs, {"id": either_id}).first()
    return None if row is None else _with_tags(connection, [row])[0]


def pruned(connection: Connection, run_ids: Sequence[str]) -> set[str]:
    """Which of these runs of ours are pruned; none of the others is until the transaction ends."""
    rows = connection.execute(_PRUNED, {"ids": list(run_ids)}) if run_ids else ()
    return {row.id for row in rows if row.pruned_at is not None}


def own_id(connection: Connection, named: str) -> str:
    """Our id of the run that is named by ours or by the upstream's; an unknown one stays, and finds nothing."""
    found = find(connection, named)
    return named if found is None else found.id


def find_many(connection: Connection, either_ids: Sequence[str]) -> dict[str, Run]:
    """The runs of those ids, ours or the upstream's, by the id that was asked for; without texts and tags."""
    found = {row.id: _run(row) for row in connection.execute(_BY_IDS, {"ids": list(either_ids)})}
    links = UPSTREAM_LINKS.c
    linked = select(links.upstream_id, links.run_id).where(links.upstream_id.in_(set(either_ids) - found.keys()))
    named = {row.upstream_id: row.run_id for row in connection.execute(linked)}
    if named:
        theirs = {row.id: _run(row) for row in connection.execute(_BY_IDS, {"ids": sorted(set(named.values()))})}
        found |= {upstream_id: theirs[run_id] for upstream_id, run_id in named.items() if run_id in theirs}
    return found


def among(connection: Connection, wanted: filters.Expression, run_ids: Sequence[str]) -> dict[str, Run]:
    """Those of some runs of ours that are wanted, by their ids, as lists have them."""
    known = connection.execute(_SEQS, {"ids": list(run_ids)}).scalars().all() if run_ids else ()
    rows: list[Any] = []
    for part in _near(known):
        window = search.Window(part[0], part[-1] + 1)
        chosen = select(*LISTED).where(RUNS.c.seq.in_(part), *conditions.where(connection, wanted, window))
        rows += connection.execute(chosen).all()
    return {run.id: run for run in listed(connection, rows)}


def _near(seqs: Iterable[int]) -> list[list[int]]:
    """Keys in order, those together that lie near each other: between them there is not much to look through."""
    parts: list[list[int]] = []
    for seq in sorted(seqs):
        if not parts or seq - parts[-1][-1] > search.NEAR:
            parts.append([])
        parts[-1].append(seq)
    return parts


def listed(connection: Connection, rows: Iterable[Any]) -> list[Run]:
    """Rows of LISTED as runs."""
    return _with_tags(connection, list(rows))


def whole(connection: Connection, seqs: Sequence[int]) -> list[Run]:
    """The runs of these keys with all that they hold, in the order of the keys."""
    rows = connection.execute(_ALL.where(RUNS.c.seq.in_(seqs)).order_by(RUNS.c.seq))
    return _with_tags(connection, rows.all())


def find_keyed(connection: Connection, submitted_by: str, key: str) -> Run | None:
    """The run that was submitted under an idempotency key."""
    row = connection.execute(_BY_KEY, {"submitted_by": submitted_by, "key": key}).first()
    return None if row is None else _with_tags(connection, [row])[0]


def status(connection: Connection, run_id: str) -> states.Status | None:
    """The state of a run of ours alone, for those who wait for it to end."""
    found = connection.execute(_STATUS, {"id": run_id}).scalar_one_or_none()
    return None if found is None else states.read(states.Status, found)


def move(connection: Connection, run_id: str, to: states.Status, values: Mapping[str, Any]) -> bool:
    """Carries out a legal move; False where the run is in no state that allows it."""
    allowed = and_(RUNS.c.id == run_id, RUNS.c.status.in_(states.sources(to)))
    return change(connection, allowed, {"status": to.value, **values})


def change(connection: Connection, which: ColumnElement[bool], values: Mapping[str, Any]) -> bool:
    """Updates the rows that `which` names; whether there were any."""
    return connection.execute(update(RUNS).where(which).values(**values)).rowcount > 0


def alike(connection: Connection, agent_id: str, prompt_head: str, latest: datetime) -> list[Run]:
    """Submissions to an agent accepted up to `latest` whose prompt begins so, newest first, a thousand at most.

    For telling which submission an upstream run may have come from.
    """
    which = (
        RUNS.c.origin == states.Origin.SUBMITTED.value,
        RUNS.c.agent_id == agent_id,
        func.substr(RUNS.c.prompt, 1, len(prompt_head)) == prompt_head,
        RUNS.c.accepted_at <= latest,
    )
    return [_run(row) for row in connection.execute(_ALL.where(*which).order_by(RUNS.c.seq.desc()).limit(1000))]


def unlinked(connection: Connection, prompt: str | None = None) -> list[Run]:
    """Submissions of which an upstream run may be astray: without an upstream id yet, or after a lost create.

    With `prompt` those alone that ask for just that.
    """
    is_ours = RUNS.c.origin == states.Origin.SUBMITTED.value
    if prompt is not None:
        is_ours = and_(is_ours, RUNS.c.prompt == prompt)
    is_open = and_(RUNS.c.status == states.ACCEPTED.value, RUNS.c.upstream_id.is_(None))
    # Two looks, each along its index: joined by OR they would be one walk through the whole table.
    looks = [
        _SUBMITTED.where(is_ours, each).limit(UNLINKED) for each in (is_open, RUNS.c.stray_since.is_not(None))
    ]
    found = {row.seq: _run(row) for look in looks for row in connection.execute(look)}
    return [found[seq] for seq in sorted(found)[:UNLINKED]]


def oldest_open(connection: Connection) -> datetime | None:
    """When the oldest run that may still end was created upstream, or accepted where that is not known."""
    which = (RUNS.c.settled_at.is_(None), RUNS.c.upstream_id.is_not(None), RUNS.c.status != states.LOST.value)
    since = func.coalesce(RUNS.c.created_at, RUNS.c.accepted_at)
    found: datetime | None = connection.execute(
        select(func.min(since, type_=columns.Instant())).where(*which)
    ).scalar_one()
    return found


def unasked(connection: Connection, before: datetime, lost_before: datetime, limit: int) -> list[Run]:
    """Open runs the upstream was not asked about since `before` (lost ones: `lost_before`), longest ago first."""
    lost = RUNS.c.status == states.LOST.value
    due = or_(
        RUNS.c.asked_at.is_(None), RUNS.c.asked_at < case((lost, instant(lost_before)), else_=instant(before))
    )
    open_ = (RUNS.c.settled_at.is_(None), RUNS.c.upstream_id.is_not(None), RUNS.c.status != states.ACCEPTED.value)
    # A missing run is asked about by its own settle, less and less often.
    theirs = or_(RUNS.c.missing_since.is_(None), lost)
    oldest = _ALL.where(*open_, theirs, due).order_by(RUNS.c.asked_at.asc().nulls_first()).limit(limit)
    return [_run(row) for row in connection.execute(oldest)]


def another_known(connection: Connection, run_id: str) -> str | None:
    """The upstream id of some other run that the upstream knew: the one that settled last."""
    reported = [status.value for status in sorted(states.REPORTED)]
    which = (RUNS.c.id != run_id, RUNS.c.upstream_id.is_not(None), RUNS.c.status.in_(reported))
    newest = select(RUNS.c.upstream_id).where(*which).order_by(RUNS.c.settled_at.desc()).limit(1)
    found: str | None = connection.execute(newest).scalar_one_or_none()
    return found


def overdue(connection: Connection, now: datetime) -> int:
    """How many runs should have ended by now and have not."""
    late = select(func.count()).where(RUNS.c.settled_at.is_(None), RUNS.c.expected_by < now)
    return connection.execute(late).scalar_one()


def _run(row: Any, tags: Mapping[str, str] | None = None) -> Run:
    told = row._mapping  # made anew each time it is asked for
    values = {name: told[name] for name in _NAMES}
    values["origin"] = states.read(states.Origin, row.origin)
    values["status"] = states.read(states.Status, row.status)
    values["settled_by"] = None if row.settled_by is None else states.read(states.Road, row.settled_by)
    return Run(**values, tags=tags or {})


def _with_tags(connection: Connection, rows: Sequence[Any]) -> list[Run]:
    tags: dict[int, dict[str, str]] = {}
    for tag in connection.execute(_TAGS, {"seqs": [row.seq for row in rows]}):
        tags.setdefault(tag.run_seq, {})[tag.key] = tag.value
    return [_run(row, tags.get(row.seq)) for row in rows]


_NAMES = [each.name for each in fields(Run) if each.name != "tags"]
_ALL = select(*(RUNS.c[name] for name in _NAMES))
_CUT = {
    "prompt": func.substr(RUNS.c.prompt, 1, LISTED_PROMPT).label("prompt"),
    # Whether there is an output is told by a list, what it is by the run itself.
    "output": func.substr(RUNS.c.output, 1, 0).label("output"),
    "guidance": func.substr(RUNS.c.guidance, 1, 0).label("guidance"),
    "instructions": func.substr(RUNS.c.instructions, 1, 0).label("instructions"),
}
#: The columns of a run as lists show it.
LISTED = [_CUT.get(name, RUNS.c[name]) for name in _NAMES]
_BY_ID = _ALL.where(RUNS.c.id == bindparam("id"))
_OPEN = (
    select(RUNS.c.seq)
    .where(RUNS.c.id == bindparam("id"), RUNS.c.status.not_in(sorted(states.TERMINAL)))
    .with_for_update()
)
_STATUS = select(RUNS.c.status).where(RUNS.c.id == bindparam("id"))
#: Without what came back, which may be large: for comparing submissions.
_SUBMITTED = select(
    *(RUNS.c[n] if n in ("prompt", "guidance", "instructions") else _CUT.get(n, RUNS.c[n]) for n in _NAMES)
)
_BY_IDS = select(*LISTED).where(RUNS.c.id.in_(bindparam("ids", expanding=True)))
_SEQS = select(RUNS.c.seq).where(RUNS.c.id.in_(bindparam("ids", expanding=True)))
#: In the order in which everybody locks them.
_PRUNED = (
    select(RUNS.c.id, RUNS.c.pruned_at)
    .where(RUNS.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(RUNS.c.id)
    .with_for_update(read=True)
)
_LINKED = select(UPSTREAM_LINKS.c.run_id).where(UPSTREAM_LINKS.c.upstream_id == bindparam("id"))
_BY_UPSTREAM_ID = _ALL.where(RUNS.c.id == _LINKED.scalar_subquery())
_BY_KEY = _ALL.where(RUNS.c.submitted_by == bindparam("submitted_by"), RUNS.c.idempotency_key == bindparam("key"))
_TAGS = select(RUN_TAGS).where(RUN_TAGS.c.run_seq.in_(bindparam("seqs", expanding=True))).order_by(RUN_TAGS.c.key)
