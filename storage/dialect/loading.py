"""Instants as PostgreSQL's driver hands them over: one that it cannot read does not cost the rows around it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import Connection, DataError, adapters
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from storage import bounds

_NAME = "timestamptz"


def be_lenient(connection: Connection[Any]) -> None:
    """Have the connection read every instant: one outside the calendar is told as an end of it."""
    connection.adapters.register_loader(_NAME, _Lenient)


class _Lenient(Loader):
    """The driver's own, but for what it raises on: in some time zones an instant of ours has the year 10000."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        own = adapters.get_loader(oid, Format.TEXT)
        assert own is not None, "the driver knows instants"
        self._load = own(oid, context).load

    def load(self, data: Buffer) -> datetime:
        try:
            found: datetime = self._load(data)
        except DataError:
            told = bytes(data)
            return bounds.FIRST if told.endswith(b"BC") or told.startswith((b"-", b"0001")) else bounds.LAST
        return found
