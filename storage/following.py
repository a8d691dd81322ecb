"""What a follower is shown of the feed: in order, each change once, and not before it is known to be wanted.

A run's words are found some time after it changed. So who asks for words is shown nothing behind a change of a run
that waits to be indexed, as long as it may turn out to be wanted: what comes later waits as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from storage import changes, conditions, filters, ledger, runs, search

#: Changes that are looked through at once by who wants few of them.
SCANNED = 500


@dataclass(frozen=True, slots=True)
class Wish:
    """Which changes: of runs that are `wanted` when they are looked at, of some `kinds` where any are named.

    Those of the house itself are left out where runs are chosen, or with `of_runs`.
    """

    wanted: filters.Expression = filters.EVERYTHING
    kinds: frozenset[str] = frozenset()
    of_runs: bool = False

    @property
    def is_of_runs(self) -> bool:
        """Whether changes of the house itself are left out."""
        return self.of_runs or self.wanted != filters.EVERYTHING


@dataclass(frozen=True, slots=True)
class Look:
    """What was found behind a number, and the `number` behind which to look next.

    `runs` are those of what is shown, by id, where runs are wanted. `has_more` tells whether the next look finds
    more at once, `waits_for` the run whose words are not known yet. Where nothing stands behind the number, `last`
    is the last one of the feed.
    """

    number: int
    shown: Sequence[changes.Change] = ()
    runs: Mapping[str, runs.Run] = field(default_factory=dict)
    has_more: bool = False
    waits_for: str | None = None
    last: int | None = None


def look(connection: Connection, number: int, wish: Wish, limit: int) -> Look:
    """Up to `limit` changes behind a number that are wished for."""
    is_choosy = wish.is_of_runs or bool(wish.kinds)
    most = max(SCANNED, limit + 1) if is_choosy else limit + 1
    scanned = changes.after(connection, number, most)
    if not scanned:
        return Look(number, last=ledger.last_number(connection))
    chosen = [each for each in scanned if not wish.kinds or each.kind in wish.kinds]
    if not wish.is_of_runs:
        return _page(_number(scanned[-1]), chosen, limit, {}, None, is_full=len(scanned) == most)
    run_ids = sorted({each.run_id for each in chosen if each.run_id is not None})
    undecided = _undecided(connection, wish.wanted, run_ids)
    stop = next((each for each in chosen if each.run_id in undecided), None)
    if stop is not None:
        scanned, chosen = scanned[: scanned.index(stop)], chosen[: chosen.index(stop)]
    found = runs.among(connection, wish.wanted, [each for each in run_ids if each not in undecided])
    told = [each for each in chosen if each.run_id in found]
    is_full = len(scanned) == most
    waits_for = None if stop is None else stop.run_id
    reached = _number(scanned[-1]) if scanned else number
    return _page(reached, told, limit, found, waits_for, is_full=is_full)


def _page(
    reached: int,
    wished: Sequence[changes.Change],
    limit: int,
    found: Mapping[str, runs.Run],
    waits_for: str | None,
    *,
    is_full: bool,
) -> Look:
    """The first of what is wished for; who has seen all of it goes on behind what was `reached`."""
    if len(wished) > limit:
        shown = wished[:limit]
        return Look(_number(shown[-1]), shown, found, has_more=True)
    return Look(reached, wished, found, is_full, waits_for)


def _number(change: changes.Change) -> int:
    assert change.number is not None, "the feed tells numbered entries alone"
    return change.number


def _undecided(connection: Connection, wanted: filters.Expression, run_ids: Sequence[str]) -> set[str]:
    """Those of which it depends on words whether they are wanted, while theirs are not indexed yet."""
    possible = conditions.at_most(wanted)
    if possible == wanted:
        return set()
    waiting = search.unindexed(connection, run_ids)
    return set(runs.among(connection, possible, waiting))
