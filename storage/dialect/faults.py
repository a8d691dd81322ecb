"""What a failed statement means, in our own words. Foreign errors are translated here and nowhere else."""

from __future__ import annotations

from sqlalchemy import exc

from storage import errors

#: SQLSTATEs, or their classes, that tell of trouble rather than of a bug: connections, a standby, logins, an
#: unknown database or schema, what was rolled back, missing rights, tables and columns that are not there,
#: resources, locks, shutdowns, the system, the server.
TROUBLE = ("08", "25006", "28", "3D", "3F", "40", "42501", "42P01", "42703", "53", "55", "57", "58", "F0", "XX")
LOCKED = "55P03"
#: Classes that tell of values: out of range or of a wrong form, and larger than what an index or a row takes.
UNFIT = ("22", "54")
#: A statement that took longer than it was given.
CANCELLED = "57014"
#: What a transaction lost against another one, and wins when it is begun anew.
TAKEN_BACK = ("40001", "40P01")


def translate(error: exc.SQLAlchemyError) -> Exception:
    """What a failed statement means to callers: trouble of the database is Unavailable, a bug stays as it is."""
    if isinstance(error, exc.DataError) or sqlstate(error).startswith(UNFIT):
        return errors.Unstorable(_cause(error))
    # DatabaseError itself, none of its kinds, is what the driver says of a file that is no database.
    trouble = isinstance(error, exc.OperationalError | exc.TimeoutError | exc.InterfaceError)
    trouble = trouble or _is_lost(error) or _is_unconnected(error)
    if trouble or type(error) is exc.DatabaseError or sqlstate(error).startswith(TROUBLE):
        return errors.Unavailable(_cause(error))
    return error


def is_taken_back(error: exc.SQLAlchemyError) -> bool:
    """Whether nothing of the transaction holds and it may well pass when it is begun anew: it lost a race, or its
    connection before the commit was asked for.

    One that was not answered would most likely not be answered again.
    """
    return (_is_lost(error) and not _was_silent(error)) or sqlstate(error) in TAKEN_BACK


def is_locked(error: BaseException | None) -> bool:
    """Whether a statement waited in vain for somebody else's lock; SQLite's stands before the first one."""
    return isinstance(error, exc.SQLAlchemyError) and sqlstate(error) == LOCKED


def _is_lost(error: exc.SQLAlchemyError) -> bool:
    return isinstance(error, exc.DBAPIError) and error.connection_invalidated


def _is_unconnected(error: exc.SQLAlchemyError) -> bool:
    """Whether the driver did not take what it was given to connect with."""
    return isinstance(error, exc.ProgrammingError) and error.statement is None and not sqlstate(error)


def _was_silent(error: exc.SQLAlchemyError) -> bool:
    from storage import patience

    return isinstance(getattr(error, "orig", None), patience.Silence)


def sqlstate(error: exc.SQLAlchemyError) -> str:
    """PostgreSQL's code of an error; empty where it has none."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _cause(error: exc.SQLAlchemyError) -> str:
    """The driver's own sentence in one line, without the statement."""
    return said(getattr(error, "orig", None) or type(error).__name__)


def said(error: object) -> str:
    """The sentence of a driver's error in one line, without the values of rows that PostgreSQL adds to it."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    return " ".join(str(primary or error).split())
