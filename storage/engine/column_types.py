"""Column types with the same meaning on SQLite and PostgreSQL, and the naming convention of constraints."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    BindParameter,
    DateTime,
    Dialect,
    Integer,
    LargeBinary,
    String,
    TypeDecorator,
    literal,
)
from sqlalchemy.types import TypeEngine

from storage import bounds

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}

#: 64 bits on both databases; INTEGER on SQLite, so that a primary key is the rowid itself.
Integer64 = BigInteger().with_variant(Integer(), "sqlite")

Bytes = LargeBinary()


class Json(TypeDecorator[Any]):
    """JSON as text on SQLite, jsonb on PostgreSQL; None is NULL, never the JSON word null."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "postgresql":
            return dialect.type_descriptor(JSON(none_as_null=True))
        # Slow to import, and not needed for an embedded database.
        from sqlalchemy.dialects.postgresql import JSONB

        return dialect.type_descriptor(JSONB(none_as_null=True))


class Instant(TypeDecorator[datetime]):
    """An instant in UTC: `2026-11-23T12:00:00.000000Z` as text on SQLite, timestamptz on PostgreSQL.

    SQLAlchemy's own DateTime drops the time zone on SQLite, which shifts every value that is not UTC. The text has
    a fixed width, so it sorts in order of time.
    """

    impl = String(27)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        column_type = DateTime(timezone=True) if dialect.name == "postgresql" else String(27)
        return dialect.type_descriptor(column_type)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return instant_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        try:
            # PostgreSQL returns it in the time zone of the session.
            return value.astimezone(UTC) if isinstance(value, datetime) else datetime.fromisoformat(value)
        except (ValueError, TypeError):  # another program wrote it: the row can still be read
            return bounds.FIRST
        except OverflowError:
            return bounds.FIRST if value.year == 1 else bounds.LAST


@functools.lru_cache(1024)  # a transaction has few moments, and writes each of them several times
def instant_text(moment: datetime) -> str:
    """Return a moment (with a time zone) as RFC 3339 in UTC with microseconds, always 27 characters."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def instant(moment: datetime) -> BindParameter[datetime]:
    """Return a moment as a literal of type Instant; SQLAlchemy would take it for its own DateTime."""
    return literal(moment, Instant())
