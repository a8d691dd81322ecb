"""Compare the upstream's list with the store, for the runs that were created in a range of time.

It asks the list alone, page by page. Eight bytes are kept of each listed run, and of what is found the counts and
the first runs, so that memory stays small for a million runs.
"""

from __future__ import annotations

import bisect
import hashlib
import secrets
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from receiver.upstream import payloads
from receiver.worker import list_walk
from receiver.worker.context import Context
from receiver.worker.tasks import backfill, find_lost_create
from storage import bounds, states
from storage.actions import completeness
from storage.engine import column_types
from storage.repositories import runs, system_state, upstream_links

#: Runs of the store that are read at once, and runs that a report names of each kind.
CHUNK, NAMED = 500, 10_000
#: Why the upstream lists a run that the store lacks.
MISSING = {
    "orphan": "a lost answer left it behind; it was cancelled, and its submission has another run",
    "open_submission": "it may be the run of a submission whose start is under way",
    "not_adopted": "it was created elsewhere, and RUNLEDGER_ADOPT is none",
    "queued": "it was created elsewhere and waits: it is adopted once it runs",
    "not_swept_yet": "it was created since the last complete sweep, which will find it",
    "before_adoption": "it was created elsewhere before runs were adopted: `runledger backfill` stores it",
}
#: Why the store has a run that the list lacks.
EXTRA = {
    "never_created": "the upstream never created it: it waits, was refused, or was cancelled before",
    "imported": "it was imported from another Runledger, whose organisation may be another",
    "beyond_list": "it is older than the end of the list",
    "lost": "the upstream has not shown it for a while",
    "not_listed": "it was deleted upstream, or created in another organisation",
}
#: How the states of a run differ.
DIFFERING = {
    "not_settled": "it has ended upstream, and not here yet",
    "goes_on": "it has ended here, and not upstream",
    "conflict": "it has ended otherwise here than upstream",
}


@dataclass
class Findings:
    """What was found of one kind: the counts by reason, and the first runs."""

    reasons: Counter[str] = field(default_factory=Counter)
    runs: list[dict[str, Any]] = field(default_factory=list)

    def add(self, reason: str, **values: str | None) -> None:
        """Count a run, and name it where few are named."""
        self.reasons[reason] += 1
        if len(self.runs) < NAMED:
            self.runs.append({"reason": reason, **{name: each for name, each in values.items() if each}})

    @property
    def count(self) -> int:
        return self.reasons.total()

    def values(self) -> dict[str, Any]:
        """Return the findings as a part of the report."""
        return {"count": self.count, "reasons": dict(self.reasons), "runs": self.runs}


class SeenIds:
    """Ids in eight bytes each. A secret makes it impossible to choose two ids that are the same here."""

    def __init__(self) -> None:
        self._key, self._hashes, self._is_sorted = secrets.token_bytes(16), array("Q"), True

    def add(self, upstream_id: str) -> None:
        """Add an id."""
        self._hashes.append(self._hash(upstream_id))
        self._is_sorted = False

    def __contains__(self, upstream_id: str) -> bool:
        if not self._is_sorted:
            self._hashes, self._is_sorted = array("Q", sorted(self._hashes)), True
        wanted = self._hash(upstream_id)
        place = bisect.bisect_left(self._hashes, wanted)
        return place < len(self._hashes) and self._hashes[place] == wanted

    def _hash(self, upstream_id: str) -> int:
        return int.from_bytes(hashlib.blake2b(upstream_id.encode(), digest_size=8, key=self._key).digest())


@dataclass
class Comparison:
    """The comparison so far. `list_ends` is when the oldest run of a list was created that was read to its end."""

    begin: datetime
    end: datetime
    listed: int = 0
    stored: int = 0
    missing: Findings = field(default_factory=Findings)
    extra: Findings = field(default_factory=Findings)
    differing: Findings = field(default_factory=Findings)
    list_ends: datetime | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Return the numbers of runs."""
        found = {"missing": self.missing, "extra": self.extra, "differing": self.differing}
        return {"listed": self.listed, "stored": self.stored, **{name: of.count for name, of in found.items()}}

    def has(self, moment: datetime | None) -> bool:
        """Return whether a run created then is compared; one of an unknown time is."""
        return moment is None or self.begin <= moment < self.end


async def compare(
    context: Context, begin: datetime, end: datetime, show: Callable[[int, str], None]
) -> Comparison:
    """Compare the runs created from `begin` on and before `end`; `show` is called with progress.

    Raises UpstreamError, and InvalidPaging for a list that leads nowhere.
    """
    found, seen = Comparison(begin, end), SeenIds()
    await _walk(context, found, seen, show)
    await _read_store(context, found, seen, show)
    return found


async def _walk(context: Context, found: Comparison, seen: SeenIds, show: Callable[[int, str], None]) -> None:
    swept_at = (await context.database.read(system_state.read)).swept_at
    trail, cursor, oldest = list_walk.PageGuard(), None, None
    horizon = bounds.before(found.begin, timedelta(seconds=context.timing.clock_skew))
    walked = 0
    while True:
        page = await backfill.read_page(context, cursor)
        for each in page.runs:
            seen.add(each.id)
        await _take(context, found, [each for each in page.runs if found.has(each.created_at)], swept_at)
        walked += len(page.runs)
        show(walked, "walking the list")
        oldest = min(filter(None, [oldest, *(each.created_at for each in page.runs)]), default=None)
        if not page.has_more:
            found.list_ends = oldest
            return
        if list_walk.reaches(page, horizon):
            return
        cursor = trail.next_cursor(page)


async def _take(
    context: Context, found: Comparison, listed: Sequence[payloads.Listed], swept_at: datetime | None
) -> None:
    """Compare listed runs with the store."""
    known = await context.database.read(upstream_links.find_named, [each.id for each in listed])
    # Read after the page: a submission whose run stands on it is open here, or is linked by now.
    unlinked = await context.database.read(runs.unlinked) if len(known) < len(listed) else ()
    found.listed += len(listed)
    for each in listed:
        ours = known.get(each.id)
        if ours is None:
            reason = _reason_missing(context, each, unlinked, swept_at)
            found.missing.add(reason, **_shown(each))
        elif each.id not in (ours.id, ours.upstream_id):
            found.missing.add("orphan", run=ours.id, **_shown(each))
        elif each.status != ours.status and states.TERMINAL & {each.status, ours.status}:
            here, there = ours.is_terminal, each.status in states.TERMINAL
            reason = "conflict" if here and there else "goes_on" if here else "not_settled"
            found.differing.add(reason, run=ours.id, stored=str(ours.status), **_shown(each))


def _shown(listed: payloads.Listed) -> dict[str, str | None]:
    created = None if listed.created_at is None else column_types.instant_text(listed.created_at)
    return {"upstreamId": listed.id, "listed": str(listed.status), "createdAt": created}


def _reason_missing(
    context: Context, listed: payloads.Listed, unlinked: Sequence[runs.Run], swept_at: datetime | None
) -> str:
    skew, open_ = context.timing.clock_skew, (each for each in unlinked if not each.is_terminal)
    if any(find_lost_create.resembles(each, listed, skew) for each in open_):
        return "open_submission"
    if not context.adopt_all:
        return "not_adopted"
    if listed.status is states.QUEUED:
        return "queued"
    is_new = swept_at is None or listed.created_at is None or listed.created_at >= swept_at
    return "not_swept_yet" if is_new else "before_adoption"


async def _read_store(
    context: Context, found: Comparison, seen: SeenIds, show: Callable[[int, str], None]
) -> None:
    """Find the runs of the store that the list lacks."""
    after = -1
    while True:
        chunk = await context.database.read(completeness.in_range, found.begin, found.end, after, CHUNK)
        lacking = [each for each in chunk if each.upstream_id is None or each.upstream_id not in seen]
        imported = await context.database.read(completeness.imported, [each.id for each in lacking])
        for each in lacking:
            created = column_types.instant_text(each.created)
            reason = _reason_extra(found, each, is_imported=each.id in imported)
            about = {"upstreamId": each.upstream_id, "stored": str(each.status), "createdAt": created}
            found.extra.add(reason, run=each.id, **about)
        found.stored += len(chunk)
        show(found.stored, "reading the store")
        if len(chunk) < CHUNK:
            return
        after = chunk[-1].seq


def _reason_extra(found: Comparison, stored: completeness.Stored, *, is_imported: bool) -> str:
    if stored.upstream_id is None:
        return "never_created"
    if is_imported:
        return "imported"
    if found.list_ends is not None and stored.created < found.list_ends:
        return "beyond_list"
    return "lost" if stored.missing_since is not None or stored.status is states.LOST else "not_listed"
