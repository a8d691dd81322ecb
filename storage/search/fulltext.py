"""Full-text search: the words of passages in FTS5 on SQLite, in tsvector with a GIN index on PostgreSQL.

Both get the words of our own tokenizer and do not split them further: FTS5's `ascii` tokenizer splits at spaces,
and PostgreSQL gets ready-made vectors and queries. SQLite's table is contentless, so removing a passage needs all
its words again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from storage.engine import sqlite_driver
from storage.search import tokenizer

#: The id of a passage and its words.
Row = tuple[int, Sequence[str]]

#: Tables that are not in the metadata.
UNMANAGED_TABLES = frozenset({"passage_words"})

_CREATE_SQLITE = (
    "CREATE VIRTUAL TABLE passage_words USING fts5(words, content='', detail='full', tokenize='ascii')"
)
_CREATE_POSTGRESQL = """
    CREATE TABLE passage_words (
        id bigint CONSTRAINT pk_passage_words PRIMARY KEY
            CONSTRAINT fk_passage_words REFERENCES passages (id) ON DELETE CASCADE,
        words tsvector NOT NULL
    );
    CREATE INDEX ix_passage_words_words ON passage_words USING gin (words)
"""
_ADD_SQLITE = "INSERT INTO passage_words (rowid, words)"
_REMOVE_SQLITE = "INSERT INTO passage_words (passage_words, rowid, words) VALUES ('delete', ?, ?)"
#: Merges so many pages of SQLite's index; removed words are in it until all of it is merged.
MERGE_WORDS = "INSERT INTO passage_words (passage_words, rank) VALUES ('merge', ?)"
#: The most pages of the index that a change merges, and the characters of the change that add a further page: in
#: an index of ten gigabytes each word is merged through nine levels.
MERGED_PAGES, MERGED_CHARACTERS = 16, 1000
_PAGE = "SELECT pgno >> 1 FROM passage_words_idx WHERE segid = segment.id"
_PREFIX_PAGES = sa.text(f"""
    WITH RECURSIVE segment (id) AS (
        SELECT min(segid) FROM passage_words_idx
        UNION ALL
        SELECT (SELECT min(segid) FROM passage_words_idx WHERE segid > id) FROM segment WHERE id IS NOT NULL
    )
    SELECT sum(coalesce(({_PAGE} AND term > :high ORDER BY term LIMIT 1), ({_PAGE} ORDER BY term DESC LIMIT 1))
        - coalesce(({_PAGE} AND term <= :low ORDER BY term DESC LIMIT 1), 0)) FROM segment WHERE id IS NOT NULL
""")
_ADD_POSTGRESQL = sa.text("INSERT INTO passage_words (id, words) VALUES (:id, CAST(:words AS tsvector))")


def create_words_table(connection: sa.Connection) -> None:
    """Create the table of words, which is not in the metadata."""
    if connection.dialect.name == "postgresql":
        for statement in _CREATE_POSTGRESQL.split(";"):
            connection.exec_driver_sql(statement)
    else:
        connection.exec_driver_sql(_CREATE_SQLITE)


def add_words(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Add the words of new passages."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(_ADD_POSTGRESQL, [{"id": id_, "words": _vector(words)} for id_, words in rows])
    else:
        texts = _texts(rows)
        sqlite_driver.insert(connection, _ADD_SQLITE, texts)
        _merge(connection, texts)


def remove_words(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Remove passages, given with all the words that were added; on a server the passage's deletion does that."""
    if rows and connection.dialect.name != "postgresql":
        texts = _texts(rows)
        connection.exec_driver_sql(_REMOVE_SQLITE, texts)
        _merge(connection, texts)


def _texts(rows: Sequence[Row]) -> list[tuple[int, str]]:
    return [(id_, " ".join(words)) for id_, words in rows]


def _merge(connection: sa.Connection, changed: Sequence[tuple[int, str]]) -> None:
    """Merge segments of the index, a few for each change.

    By itself FTS5 merges hundreds of pages in one of many changes, for which other writes wait.
    """
    most = MERGED_PAGES + sum(len(text) for _, text in changed) // MERGED_CHARACTERS
    sqlite_driver.execute(connection, MERGE_WORDS, [most])


def removal_needs_words(connection: sa.Connection) -> bool:
    """Return whether `remove_words` has to be called, with the words that were added."""
    return connection.dialect.name != "postgresql"


def remove_all_words(connection: sa.Connection) -> None:
    """Remove all words."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("DELETE FROM passage_words")
    else:
        connection.exec_driver_sql("INSERT INTO passage_words (passage_words) VALUES ('delete-all')")


def query_text(connection: sa.Connection, phrase: tokenizer.Phrase) -> str:
    """Return the phrase in the query language of the database."""
    if connection.dialect.name == "postgresql":
        return " <-> ".join(f"'{word}'" for word in phrase.words) + ":*" * phrase.open_ended
    return f'"{" ".join(phrase.words)}"' + " *" * phrase.open_ended


def passages_with(connection: sa.Connection, query: sa.ColumnElement[str], low: Any, high: Any) -> sa.Select[Any]:
    """Return a query for the ids (`low` <= id < `high`) of the passages that match a text of `query_text`."""
    if connection.dialect.name == "postgresql":
        # Slow to import, and not needed for an embedded database.
        from sqlalchemy.dialects.postgresql import TSQUERY

        id_ = sa.column("id", sa.BigInteger)
        matches = sa.column("words").op("@@")(sa.cast(query, TSQUERY))
    else:
        id_ = sa.literal_column("rowid", sa.BigInteger)
        matches = sa.literal_column("passage_words").op("MATCH")(query)
    return sa.select(id_).select_from(sa.table("passage_words")).where(matches, id_ >= low, id_ < high)


def is_expensive(connection: sa.Connection) -> bool:
    """Return whether a query is expensive in itself: FTS5 collects all words with a prefix for each query."""
    return connection.dialect.name != "postgresql"


def prefix_pages(connection: sa.Connection, prefix: str) -> int:
    """Return how many pages of the index have the words with a prefix; FTS5 reads all of them for each query.

    Each segment of the index names the first word of a page, unless no word begins there.
    """
    low = f"0{prefix}".encode()
    pages = connection.execute(_PREFIX_PAGES, {"low": low, "high": low + b"\xff"}).scalar()
    return int(pages or 0)


def materialized(connection: sa.Connection, found: sa.Select[Any]) -> sa.Select[Any]:
    """Return a query for the same values that is evaluated before its values are used.

    PostgreSQL assumes that a word without statistics is frequent, and would scan all rows; it assumes few elements
    in an array.
    """
    if connection.dialect.name == "postgresql":
        return sa.select(sa.func.unnest(sa.func.array(found.scalar_subquery()), type_=sa.BigInteger))
    return found


def _vector(words: Sequence[str]) -> str:
    """Return a tsvector as text: `'force':1 'majeure':2,7`."""
    positions: dict[str, list[str]] = {}
    for position, word in enumerate(words, 1):
        positions.setdefault(word, []).append(str(position))
    return " ".join(f"'{word}':{','.join(each)}" for word, each in positions.items())
