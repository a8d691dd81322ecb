"""Column types with the same meaning on SQLite and PostgreSQL, and the naming convention of constraints."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from storage import bounds

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}

#: 64 bits on both databases; INTEGER on SQLite, so that a primary key is the rowid itself.
Integer64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

Bytes = sa.LargeBinary()


class Json(sa.TypeDecorator[Any]):
    """JSON as text on SQLite, jsonb on PostgreSQL; None is NULL, never the JSON word null."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[Any]:
        if dialect.name != "postgresql":
            return dialect.type_descriptor(sa.JSON(none_as_null=True))
        # Slow to import, and not needed for an embedded database.
        from sqlalchemy.dialects.postgresql import JSONB

        return dialect.type_descriptor(JSONB(none_as_null=True))


class Instant(sa.TypeDecorator[datetime]):
    """An instant in UTC: `2026-11-23T12:00:00.000000Z` as text on SQLite, timestamptz on PostgreSQL.

    SQLAlchemy's own DateTime drops the time zone on SQLite, which shifts every value that is not UTC. The text has
    a fixed width, so it sorts in order of time.
    """

    impl = sa.String(27)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[Any]:
        column_type = sa.DateTime(timezone=True) if dialect.name == "postgresql" else sa.String(27)
        return dialect.type_descriptor(column_type)

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return instant_text(value)

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any]:
        """Return the function that converts a value for the driver, without SQLAlchemy's second conversion."""
        return functools.partial(self.process_bind_param, dialect=dialect)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        try:
            # PostgreSQL returns it in the time zone of the session.
            return value.astimezone(UTC) if isinstance(value, datetime) else datetime.fromisoformat(value)
        except (ValueError, TypeError):  # another program wrote it: the row can still be read
            return bounds.FIRST
        except OverflowError:
            return bounds.FIRST if value.year == 1 else bounds.LAST


class InstantText(Instant):
    """An instant of a row as the text of `instant_text`: as it is, where the row has that text.

    Any other text is read as `Instant` reads it.
    """

    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], Any]:
        """Return the function that reads a value."""
        read, is_instant = self.process_result_value, datetime.fromisoformat

        def text(value: Any) -> str | None:
            moment = read(value, dialect)
            return None if moment is None else instant_text(moment)

        def stored_text(stored: Any) -> Any:
            if stored is None:
                return None
            try:
                is_instant(stored)
                if stored[4:20:3] == "--T::." and stored[26:] == "Z":
                    return stored
            except (ValueError, TypeError):
                pass
            return text(stored)

        return text if dialect.name == "postgresql" else stored_text


def spelled(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return a column to be selected under its own name, with an instant as its text."""
    if not isinstance(column.type, Instant):
        return column
    return sa.type_coerce(column, InstantText()).label(getattr(column, "key", None))


@functools.lru_cache(1024)  # a transaction has few moments, and writes each of them several times
def instant_text(moment: datetime) -> str:
    """Return a moment (with a time zone) as RFC 3339 in UTC with microseconds, always 27 characters."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def decode_json(text: str | bytes) -> Any:
    """Return a JSON value of a row; a text that another program wrote and that is not JSON stays as it is."""
    try:
        return _decode_strictly(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)  # accepts halves of surrogate pairs
    except (ValueError, RecursionError):
        return text


_decode_strictly = msgspec.json.Decoder().decode


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no value of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def instant(moment: datetime) -> sa.BindParameter[datetime]:
    """Return a moment as a literal of type Instant; SQLAlchemy would take it for its own DateTime."""
    return sa.literal(moment, Instant())
