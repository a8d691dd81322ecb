"""Looking up phrases: in the order of keys where the index has it, and not at all where it would take too long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, Text, bindparam, func, literal, select

from storage import errors
from storage.engine import dialect
from storage.search import fulltext, tokenizer
from storage.tables.declare import ROWS_PER_RUN

#: The pages of the index that a prefix may have: a second's work. A page has four kilobytes.
MAX_PREFIX_PAGES = 4000


def has_order(connection: Connection, phrase: tokenizer.Phrase) -> bool:
    """Return whether `keys_with` is fast: FTS5 has the passages of whole words in the order of their keys."""
    return fulltext.is_expensive(connection) and not phrase.open_ended


def keys_with(
    connection: Connection, phrase: tokenizer.Phrase, descending: bool, behind: int | None, limit: int
) -> list[int]:
    """Return the `seq` of runs that contain the phrase, in order, behind a `seq` if one is given."""
    low, high, read = 0, (1 << 63) - 1, 2 * limit
    keys: dict[int, None] = {}
    statement, query = _in_order(connection, descending), fulltext.query_text(connection, phrase)
    while len(keys) < limit:
        if behind is not None:
            low, high = (low, behind * ROWS_PER_RUN) if descending else ((behind + 1) * ROWS_PER_RUN, high)
        given = {"query": query, "low": low, "high": high, "read": read}
        ids = connection.execute(statement, given).scalars().all()
        keys |= dict.fromkeys(id_ // ROWS_PER_RUN for id_ in ids)
        if len(ids) < read:
            break
        behind = ids[-1] // ROWS_PER_RUN
    return list(keys)[:limit]


@dialect.built_once
def _in_order(connection: Connection, descending: bool) -> Select[Any]:
    """Return the query for the next passages with a phrase."""
    edges = [bindparam("low", type_=BigInteger), bindparam("high", type_=BigInteger)]
    matching = fulltext.passages_with(connection, bindparam("query", type_=Text), *edges)
    (id_,) = matching.selected_columns
    return matching.order_by(id_.desc() if descending else id_).limit(bindparam("read"))


def require_selective(
    connection: Connection, phrases: Iterable[tokenizer.Phrase], most: int = MAX_PREFIX_PAGES
) -> None:
    """Raise BadFilter for a prefix of so many words that looking them up would take longer than a query may."""
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
