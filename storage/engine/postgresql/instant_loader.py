"""A loader for timestamptz that returns a value for every instant, so that one bad value loses no other rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import Connection, DataError, adapters
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from storage import bounds

_NAME = "timestamptz"


def register(connection: Connection[Any]) -> None:
    """Register the loader. It returns an instant outside the calendar as the nearest end of the calendar."""
    connection.adapters.register_loader(_NAME, _Lenient)


class _Lenient(Loader):
    """The driver's loader, except where it raises: in some time zones a stored instant has the year 10000."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        own = adapters.get_loader(oid, Format.TEXT)
        assert own is not None, "the driver has a loader for timestamptz"
        self._load = own(oid, context).load

    def load(self, data: Buffer) -> datetime:
        try:
            instant: datetime = self._load(data)
        except DataError:
            raw = bytes(data)
            return bounds.FIRST if raw.endswith(b"BC") or raw.startswith((b"-", b"0001")) else bounds.LAST
        return instant
