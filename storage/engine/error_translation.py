"""Translation of SQLAlchemy's and the drivers' errors into errors of this package; it happens only here."""

from __future__ import annotations

from sqlalchemy import exc

from storage import errors

#: SQLSTATEs, or their classes, that mean a fault of the database and not a bug: connections, a standby, logins, an
#: unknown database or schema, rollbacks, missing rights, missing tables and columns, resources, locks, shutdowns,
#: the system, the server.
TROUBLE = ("08", "25006", "28", "3D", "3F", "40", "42501", "42P01", "42703", "53", "55", "57", "58", "F0", "XX")
LOCKED = "55P03"
#: Classes that concern values: out of range, malformed, or too large for an index or a row.
UNFIT = ("22", "54")
#: A statement exceeded its timeout.
CANCELLED = "57014"
#: A transaction lost a race against another one, and can succeed when it is begun again.
RETRYABLE = ("40001", "40P01")


def translate(error: exc.SQLAlchemyError) -> Exception:
    """Return the error for callers: a fault of the database becomes Unavailable, a bug stays as it is."""
    if isinstance(error, exc.DataError) or sqlstate(error).startswith(UNFIT):
        return errors.UnstorableValue(_cause(error))
    is_trouble = isinstance(error, exc.OperationalError | exc.TimeoutError | exc.InterfaceError)
    is_trouble = is_trouble or _is_lost(error) or _is_bad_argument(error)
    # The driver raises DatabaseError itself, not a subclass, for a file that is not a database.
    if is_trouble or type(error) is exc.DatabaseError or sqlstate(error).startswith(TROUBLE):
        return errors.Unavailable(_cause(error))
    return error


def is_retryable(error: exc.SQLAlchemyError) -> bool:
    """Return whether the transaction was rolled back and may succeed when it is begun again.

    It lost a race, or it lost its connection before the commit. A response timeout is not such a case, since the
    next try would most likely time out as well.
    """
    return (_is_lost(error) and not _is_response_timeout(error)) or sqlstate(error) in RETRYABLE


def is_lock_timeout(error: BaseException | None) -> bool:
    """Return whether a statement timed out waiting for a lock. On SQLite only BEGIN waits for one."""
    return isinstance(error, exc.SQLAlchemyError) and sqlstate(error) == LOCKED


def _is_lost(error: exc.SQLAlchemyError) -> bool:
    return isinstance(error, exc.DBAPIError) and error.connection_invalidated


def _is_bad_argument(error: exc.SQLAlchemyError) -> bool:
    """Return whether the driver rejected its connection arguments."""
    return isinstance(error, exc.ProgrammingError) and error.statement is None and not sqlstate(error)


def _is_response_timeout(error: exc.SQLAlchemyError) -> bool:
    # The driver is slow to import, and not needed for an embedded database.
    from storage.engine.postgresql import connection_timeouts

    return isinstance(getattr(error, "orig", None), connection_timeouts.ResponseTimeout)


def sqlstate(error: exc.SQLAlchemyError) -> str:
    """Return the SQLSTATE of an error, empty where it has none."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _cause(error: exc.SQLAlchemyError) -> str:
    """Return the driver's message in one line, without the statement."""
    return message(getattr(error, "orig", None) or type(error).__name__)


def message(error: object) -> str:
    """Return the message of a driver's error in one line, without the row values that PostgreSQL adds."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    return " ".join(str(primary or error).split())
