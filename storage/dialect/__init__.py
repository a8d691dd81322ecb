"""The complete list of what differs between SQLite and PostgreSQL; everything above is written once.

Column types that differ stand in `columns`.
"""

from storage.dialect.addresses import fault, file_of, is_pooled, is_url, shown, sole_server
from storage.dialect.asking import Answer, Bounds, Statement, Value, asked
from storage.dialect.deadlines import deadline
from storage.dialect.engines import INCREMENTAL, engine, libpq
from storage.dialect.faults import is_locked, is_taken_back, said, translate
from storage.dialect.searching import (
    MADE,
    REWRITE_WORDS,
    forget_all_words,
    forget_words,
    forgets_by_words,
    gathered,
    holders_of,
    is_dear,
    keep_words,
    make_words,
)
from storage.dialect.statements import (
    CHANNEL,
    announce,
    day,
    hold_tables,
    hour,
    insert,
    is_alone,
    milliseconds,
    month,
    one_by_one,
    tell,
    time,
    total,
)

__all__ = [
    "CHANNEL",
    "INCREMENTAL",
    "MADE",
    "REWRITE_WORDS",
    "Answer",
    "Bounds",
    "Statement",
    "Value",
    "announce",
    "asked",
    "day",
    "deadline",
    "engine",
    "fault",
    "file_of",
    "forget_all_words",
    "forget_words",
    "forgets_by_words",
    "gathered",
    "hold_tables",
    "holders_of",
    "hour",
    "insert",
    "is_alone",
    "is_dear",
    "is_locked",
    "is_pooled",
    "is_taken_back",
    "is_url",
    "keep_words",
    "libpq",
    "make_words",
    "milliseconds",
    "month",
    "one_by_one",
    "said",
    "shown",
    "sole_server",
    "tell",
    "time",
    "total",
    "translate",
]
