"""A connection to PostgreSQL whose statements have a timeout on the client's side.

TCP notices a broken network. But a stopped server or a hanging pooler still acknowledges packets: only its
response never comes.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import pq


class ResponseTimeout(psycopg.OperationalError):
    """A statement got no response in time. Whether it was executed is unknown; its connection is closed."""


class Connection(psycopg.Connection[Any]):
    """A connection that waits `seconds` for the response to a statement, without limit where that is None."""

    response_seconds: float | None = None

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait as the base class does. Raises ResponseTimeout as well."""
        try:
            return super().wait(gen, *args, **{"timeout": self.response_seconds, **kwargs})
        except psycopg.OperationalError as error:
            is_response = error.sqlstate is not None
            if is_response or self.closed or self.pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()
            raise ResponseTimeout(f"the database did not answer within {self.response_seconds} seconds") from error
