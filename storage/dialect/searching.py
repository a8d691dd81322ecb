"""Words of passages: FTS5 on SQLite, tsvector under a GIN index on PostgreSQL.

Both are given words that are made elsewhere, and have no say in where one ends: FTS5's `ascii` takes whatever
stands between two spaces, and vectors and questions are spelled out for PostgreSQL. SQLite's table holds no
content, so what is to be forgotten has to be told to it word for word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    cast,
    column,
    func,
    literal,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import TSQUERY

#: Words by the id of their passage.
Row = tuple[int, Sequence[str]]

#: Tables that no metadata describe.
MADE = frozenset({"passage_words"})

_EMBEDDED = "CREATE VIRTUAL TABLE passage_words USING fts5(words, content='', detail='full', tokenize='ascii')"
_SERVED = """
    CREATE TABLE passage_words (
        id bigint CONSTRAINT pk_passage_words PRIMARY KEY
            CONSTRAINT fk_passage_words REFERENCES passages (id) ON DELETE CASCADE,
        words tsvector NOT NULL
    );
    CREATE INDEX ix_passage_words_words ON passage_words USING gin (words)
"""
#: Has SQLite write its words anew: what was forgotten stands in them until then.
REWRITE_WORDS = "INSERT INTO passage_words (passage_words) VALUES ('optimize')"
_KEEP = "INSERT INTO passage_words (rowid, words) VALUES (?, ?)"
_FORGET = "INSERT INTO passage_words (passage_words, rowid, words) VALUES ('delete', ?, ?)"
_KEEP_SERVED = text("INSERT INTO passage_words (id, words) VALUES (:id, CAST(:words AS tsvector))")


def make_words(connection: Connection) -> None:
    """Makes the table of words, which no metadata describe."""
    if connection.dialect.name == "postgresql":
        for statement in _SERVED.split(";"):
            connection.exec_driver_sql(statement)
    else:
        connection.exec_driver_sql(_EMBEDDED)


def keep_words(connection: Connection, rows: Sequence[Row]) -> None:
    """Takes the words of passages that are there and have none yet."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(_KEEP_SERVED, [{"id": id_, "words": _vector(words)} for id_, words in rows])
    else:
        connection.exec_driver_sql(_KEEP, [(id_, " ".join(words)) for id_, words in rows])


def forget_words(connection: Connection, rows: Sequence[Row]) -> None:
    """Forgets words, each passage with all that were kept of it; on a server they go with their passages."""
    if rows and connection.dialect.name != "postgresql":
        connection.exec_driver_sql(_FORGET, [(id_, " ".join(words)) for id_, words in rows])


def forgets_by_words(connection: Connection) -> bool:
    """Whether `forget_words` has to be told what was kept."""
    return connection.dialect.name != "postgresql"


def forget_all_words(connection: Connection) -> None:
    """Forgets everything at once."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("DELETE FROM passage_words")
    else:
        connection.exec_driver_sql("INSERT INTO passage_words (passage_words) VALUES ('delete-all')")


def holders_of(connection: Connection, words: Sequence[str], open_ended: bool, low: Any, high: Any) -> Select[Any]:
    """The ids of passages from `low` up to below `high` in which the words stand beside each other."""
    if connection.dialect.name == "postgresql":
        id_, asked = column("id", BigInteger), cast(literal(_query(words, open_ended)), TSQUERY)
        says = column("words").op("@@")(asked)
    else:
        id_ = literal_column("rowid", BigInteger)
        says = literal_column("passage_words").op("MATCH")(literal(f'"{" ".join(words)}"' + " *" * open_ended))
    return select(id_).select_from(table("passage_words")).where(says, id_ >= low, id_ < high)


def is_dear(connection: Connection) -> bool:
    """Whether a look costs more than what it finds: FTS5 gathers all words that begin so for each one."""
    return connection.dialect.name != "postgresql"


def gathered(connection: Connection, found: Select[Any]) -> Select[Any]:
    """The same values, all gathered before anything is looked up by them.

    PostgreSQL takes a word that it has no statistics of for a frequent one, and would walk through all rows;
    of what stands in an array it expects little.
    """
    if connection.dialect.name == "postgresql":
        return select(func.unnest(func.array(found.scalar_subquery()), type_=BigInteger))
    return found


def _vector(words: Sequence[str]) -> str:
    """`'force':1 'majeure':2,7`: a vector as PostgreSQL spells it."""
    places: dict[str, list[str]] = {}
    for place, word in enumerate(words, 1):
        places.setdefault(word, []).append(str(place))
    return " ".join(f"'{word}':{','.join(at)}" for word, at in places.items())


def _query(words: Sequence[str], open_ended: bool) -> str:
    return " <-> ".join(f"'{word}'" for word in words) + ":*" * open_ended
