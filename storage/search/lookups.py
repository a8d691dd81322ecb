"""Looking up phrases: in the order of keys where the index has it, and not at all where it would take too long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, Text, bindparam, func, literal, select

from storage import errors
from storage.engine import prepared
from storage.engine.membership import is_among
from storage.search import fulltext, index, tokenizer
from storage.tables.declare import ROWS_PER_RUN
from storage.tables.runs import RUNS

#: The pages of the index that a prefix may have: a second's work. A page has four kilobytes.
MAX_PREFIX_PAGES = 4000
#: The passages of one run that are read in order before the next run is sought.
MANY_PASSAGES = 100
#: The largest distance between the keys of runs that one statement searches.
NEAR = 4096


def has_order(connection: Connection, phrase: tokenizer.Phrase) -> bool:
    """Return whether `in_order` is fast: FTS5 has the passages of whole words in the order of their keys."""
    return fulltext.is_expensive(connection) and not phrase.open_ended


def in_window(
    connection: Connection, phrase: tokenizer.Phrase, window: index.Window, descending: bool, limit: int
) -> dict[int, int]:
    """Return the first passages of the runs in a window that contain the phrase, as `in_order` returns them."""
    edges = {"low": window.low * ROWS_PER_RUN, "high": window.high * ROWS_PER_RUN}
    given = {"query": fulltext.query_text(connection, phrase), "more": limit, **edges}
    return {row.run_seq: row.first for row in _IN_WINDOW[descending].all(connection, given)}


def in_order(
    connection: Connection, phrase: tokenizer.Phrase, descending: bool, behind: int | None, limit: int
) -> dict[int, int]:
    """Return the first passage of each of the next runs that contain the phrase: its id by the run's `seq`.

    The runs are in order, and behind a `seq` if one is given.
    """
    query, firsts = fulltext.query_text(connection, phrase), dict[int, int]()
    with closing(_passages_by_run(connection, query, descending, behind)) as found:
        for seq, ids in islice(found, limit):
            is_cut = descending and len(ids) == MANY_PASSAGES
            firsts |= first_passages(connection, [seq], phrase) if is_cut else {seq: min(ids)}
    return firsts


def _passages_by_run(
    connection: Connection, query: str, descending: bool, behind: int | None
) -> Generator[tuple[int, list[int]], None, None]:
    """Yield the `seq` of each run and the ids of its passages with a phrase, up to MANY_PASSAGES of them.

    The further passages of a run that has more are skipped, since a run may have thousands.
    """
    low, high, is_cut = 0, (1 << 63) - 1, True
    while is_cut:
        is_cut = False
        if behind is not None:
            low, high = (low, behind * ROWS_PER_RUN) if descending else ((behind + 1) * ROWS_PER_RUN, high)
        rows = _IN_ORDER[descending].stream(connection, {"query": query, "low": low, "high": high})
        for behind, of_run in groupby(rows, itemgetter(0)):
            ids = [row[1] for row in islice(of_run, MANY_PASSAGES)]
            yield behind, ids
            is_cut = len(ids) == MANY_PASSAGES
            if is_cut:
                break


def _in_order(connection: Connection, descending: bool) -> Select[Any]:
    """Return the query for the passages with a phrase between two ids, each behind the `seq` of its run."""
    matching = fulltext.passages_with(connection, _QUERY, *_EDGES)
    (id_,) = matching.selected_columns
    run_seq = (id_ // ROWS_PER_RUN).label("run_seq")
    return matching.order_by(id_.desc() if descending else id_).with_only_columns(run_seq, id_)


def _in_window(connection: Connection, descending: bool) -> Select[Any]:
    """Return the query for the first runs with a phrase between two ids of passages, and their first passages."""
    matching = fulltext.passages_with(connection, _QUERY, *_EDGES)
    (id_,) = matching.selected_columns
    run_seq = (id_ // ROWS_PER_RUN).label("run_seq")
    by_run = matching.group_by(run_seq).order_by(run_seq.desc() if descending else run_seq)
    return by_run.limit(bindparam("more")).with_only_columns(run_seq, func.min(id_).label("first"))


def first_passages(connection: Connection, run_seqs: Sequence[int], phrase: tokenizer.Phrase) -> dict[int, int]:
    """Return the id of the first passage of each run that contains the phrase, by the `seq` of the run."""
    first, last = min(run_seqs), max(run_seqs)
    is_one_scan = fulltext.is_expensive(connection) and (phrase.open_ended or last - first < NEAR)
    given = {
        "query": fulltext.query_text(connection, phrase),
        "low": first * ROWS_PER_RUN,
        "high": (last + 1) * ROWS_PER_RUN,
        "seqs": list(run_seqs),
    }
    found = (_BY_SCAN if is_one_scan else _BY_LOOK).all(connection, given)
    return {row.first // ROWS_PER_RUN: row.first for row in found if row.first is not None}


def _by_scan(connection: Connection) -> Select[Any]:
    """Return the query for the first passage of each run, in one scan of the passages."""
    matching = fulltext.passages_with(connection, _QUERY, *_EDGES)
    (id_,) = matching.selected_columns
    of_run = id_ // ROWS_PER_RUN
    chosen = matching.where(is_among(of_run, "seqs")).group_by(of_run)
    return chosen.with_only_columns(func.min(id_).label("first"))


def _by_look(connection: Connection) -> Select[Any]:
    """Return the query for the first passage of each run, by a look for each."""
    edges = RUNS.c.seq * ROWS_PER_RUN, (RUNS.c.seq + 1) * ROWS_PER_RUN
    matching = fulltext.passages_with(connection, _QUERY, *edges)
    of_each = matching.with_only_columns(func.min(matching.selected_columns[0])).scalar_subquery()
    return select(of_each.label("first")).where(is_among(RUNS.c.seq, "seqs"))


def require_selective(
    connection: Connection, phrases: Iterable[tokenizer.Phrase], most: int = MAX_PREFIX_PAGES
) -> None:
    """Raise BadFilter for a prefix with too many words to look them up within the time of a query."""
    if not fulltext.is_expensive(connection):
        return
    for prefix in (phrase.words[-1] for phrase in phrases if phrase.open_ended and phrase.words):
        if fulltext.prefix_pages(connection, prefix) > most:
            reason = f"{prefix}* stands for too many words here: write more letters before the *"
            raise errors.BadFilter("q", reason)


def count_hits(connection: Connection, seqs: Sequence[int], phrases: Iterable[tokenizer.Phrase]) -> dict[int, int]:
    """Count the passages of each run that contain a phrase, summed over the phrases; the keys are `seq`."""
    if not seqs:
        return {}
    found: Counter[int] = Counter()
    low, high = min(seqs) * ROWS_PER_RUN, (max(seqs) + 1) * ROWS_PER_RUN
    for phrase in phrases:
        query = literal(fulltext.query_text(connection, phrase))
        matching = fulltext.passages_with(connection, query, low, high).subquery()
        run_seq = (matching.c[0] // ROWS_PER_RUN).label("run_seq")
        for row in connection.execute(select(run_seq, func.count()).group_by(run_seq)):
            found[row[0]] += row[1]
    return dict(found)


_QUERY = bindparam("query", type_=Text)
_EDGES: Any = (bindparam("low", type_=BigInteger), bindparam("high", type_=BigInteger))
_IN_ORDER = [prepared.Prepared(partial(_in_order, descending=descending)) for descending in (False, True)]
_IN_WINDOW = [prepared.Prepared(partial(_in_window, descending=descending)) for descending in (False, True)]
_BY_SCAN, _BY_LOOK = prepared.Prepared(_by_scan), prepared.Prepared(_by_look)
