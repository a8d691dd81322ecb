"""A connection to PostgreSQL that does not wait for ever: a server that hangs says nothing, and ends nothing.

What went dead on the way is noticed by TCP. A server that was stopped, or a pooler that hangs, still acknowledges
what it is sent: only the answer is missing.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import pq


class Silence(psycopg.OperationalError):
    """A statement got no answer in time. Whether it was carried out is not known; its connection is closed."""


class Connection(psycopg.Connection[Any]):
    """Waits `seconds` for the answer to a statement, for ever where that is None."""

    seconds: float | None = None

    def wait(self, gen: Any, *given: Any, **named: Any) -> Any:
        """As in the base class. Raises Silence as well."""
        try:
            return super().wait(gen, *given, **{"timeout": self.seconds, **named})
        except psycopg.OperationalError as error:
            is_answer = error.sqlstate is not None
            if is_answer or self.closed or self.pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()
            raise Silence(f"the database did not answer within {self.seconds} seconds") from error
