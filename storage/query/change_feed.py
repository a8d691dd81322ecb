"""Pages of the change feed for subscribers: in order, each change once, not before it is known to match.

The words of a run become searchable some time after a change. So a subscription with phrases stops before a change
of a run that waits to be indexed and may match; later changes wait as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from storage.engine.membership import is_among
from storage.ledger import entries
from storage.query import conditions, grammar, run_lines
from storage.repositories import ledger_changes
from storage.search import index, lookups
from storage.tables.runs import RUNS

#: Changes that are read at once for a subscription that selects few of them.
SCAN_SIZE = 500


@dataclass(frozen=True, slots=True)
class ChangeSelection:
    """A selection of changes: of runs that match now, and only of `kinds` where some are named.

    Changes of the deployment itself are left out where runs are selected, or with `runs_only`.
    """

    expression: grammar.Expression = grammar.EVERYTHING
    kinds: frozenset[str] = frozenset()
    runs_only: bool = False

    @property
    def excludes_deployment(self) -> bool:
        """Return whether changes of the deployment itself are left out."""
        return self.runs_only or self.expression != grammar.EVERYTHING


@dataclass(frozen=True, slots=True)
class FeedPage:
    """The changes behind a number, and the `number` behind which the next page begins.

    `runs` are the runs of these changes by id, where runs are selected. `has_more` says whether the next page has
    changes now, `waiting_for_run` is the run whose words are not indexed yet. Where nothing is behind the number,
    `last` is the last number of the feed.
    """

    number: int
    changes: Sequence[ledger_changes.Change] = ()
    runs: Mapping[str, run_lines.Line] = field(default_factory=dict)
    has_more: bool = False
    waiting_for_run: str | None = None
    last: int | None = None


def read_page(connection: Connection, number: int, selection: ChangeSelection, limit: int) -> FeedPage:
    """Return up to `limit` matching changes behind a number."""
    is_selective = selection.excludes_deployment or bool(selection.kinds)
    batch_size = max(SCAN_SIZE, limit + 1) if is_selective else limit + 1
    scanned = ledger_changes.after(connection, number, batch_size)
    if not scanned:
        return FeedPage(number, last=entries.last_number(connection))
    chosen = [each for each in scanned if not selection.kinds or each.kind in selection.kinds]
    found: Mapping[str, run_lines.Line] = {}
    stop = None
    if selection.excludes_deployment:
        run_ids = sorted({each.run_id for each in chosen if each.run_id is not None})
        undecided = _undecided(connection, selection.expression, run_ids)
        stop = next((each for each in chosen if each.run_id in undecided), None)
        if stop is not None:
            scanned, chosen = scanned[: scanned.index(stop)], chosen[: chosen.index(stop)]
        found = matching(connection, selection.expression, [each for each in run_ids if each not in undecided])
        chosen = [each for each in chosen if each.run_id in found]
    if len(chosen) > limit:
        return FeedPage(_number(chosen[limit - 1]), chosen[:limit], found, has_more=True)
    reached = _number(scanned[-1]) if scanned else number
    is_full = len(scanned) == batch_size
    return FeedPage(reached, chosen, found, is_full, None if stop is None else stop.run_id)


def _number(change: ledger_changes.Change) -> int:
    assert change.number is not None, "the feed has numbered entries only"
    return change.number


def _undecided(connection: Connection, expression: grammar.Expression, run_ids: Sequence[str]) -> set[str]:
    """Return the runs whose match depends on words, while their words are not indexed yet."""
    without_words = conditions.without_phrases(expression)
    if without_words == expression:
        return set()
    waiting = index.unindexed(connection, run_ids)
    return set(matching(connection, without_words, waiting))


def matching(
    connection: Connection, expression: grammar.Expression, run_ids: Sequence[str]
) -> dict[str, run_lines.Line]:
    """Return the given runs that match the expression, by our id."""
    seqs = connection.execute(_SEQS, {"ids": list(run_ids)}).scalars().all() if run_ids else ()
    found: list[int] = []
    for part in _group_near(seqs):
        window = index.Window(part[0], part[-1] + 1)
        matching_part = select(RUNS.c.seq).where(
            RUNS.c.seq.in_(part), *conditions.where(connection, expression, window)
        )
        found += connection.execute(matching_part).scalars()
    return {run.id: run for run in run_lines.of_keys(connection, found)}


def _group_near(seqs: Iterable[int]) -> list[list[int]]:
    """Group keys in order, so that few other rows lie between the keys of one group."""
    parts: list[list[int]] = []
    for seq in sorted(seqs):
        if not parts or seq - parts[-1][-1] > lookups.NEAR:
            parts.append([])
        parts[-1].append(seq)
    return parts


_SEQS = select(RUNS.c.seq).where(is_among(RUNS.c.id, "ids"))
