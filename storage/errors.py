"""All errors of this package."""

from __future__ import annotations


class StorageError(Exception):
    """The base of all expected errors of this package; each of them is handled somewhere."""


class Unavailable(StorageError):
    """The database is locked, full, unreachable, or was lost in COMMIT. Assume that nothing was written."""


class Busy(Unavailable):
    """A queue is full: that of the writes, of the timed reads or of users' statements."""


class UnstorableValue(StorageError):
    """The database cannot store a value. The message is the driver's; it names the run, where that is known."""


class SchemaMismatch(StorageError):
    """The database has another schema. The message names both revisions and says what to do."""


class DatabaseInUse(StorageError):
    """Another server runs on the embedded database. The message names the lock file."""


class NotDurable(StorageError):
    """The database server may lose committed transactions: a refusal to start. The message says what to set."""


class WrongEncoding(StorageError):
    """The database cannot store every text. The message names its encoding and says how to make another."""


class DatabaseMoved(StorageError):
    """The store was moved to another database. The message says to which one."""


class TargetNotEmpty(StorageError):
    """The target exists already, and nothing was written. The message says what to do."""


class DatabaseDamaged(StorageError):
    """The file is not a complete store. The message names it and says what is wrong."""


class StoresDiffer(StorageError):
    """Two stores differ. The message names the first table and row that differ."""


class LeaseLost(StorageError):
    """Another worker has claimed the job meanwhile: the holder of the old lease must not write."""


class BadCursor(StorageError):
    """A page cursor does not decode, or belongs to another sort order."""


class BadFilter(StorageError):
    """A filter value cannot be read. `name` is the parameter; the message says what is expected."""

    def __init__(self, name: str, message: str, suggestion: str | None = None) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message
        self.suggestion = suggestion


class BadQuery(StorageError):
    """A query of the filter language cannot be read from the character `position` on.

    `suggestion` is what was probably meant there.
    """

    def __init__(self, query: str, position: int, message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.query = query
        self.position = position
        self.suggestion = suggestion


class HistoryChanged(StorageError):
    """The ledger does not continue its last checkpoint, so nothing more is signed. The message says how."""


class NothingToRun(StorageError):
    """A run cannot be submitted again, since its content is not stored. The message says why."""


class NothingToNotify(StorageError):
    """The run has not ended, or no backend is configured. The message says which."""


class NameTaken(StorageError):
    """Something has that name already. The message says what."""


class TooManyViews(StorageError):
    """An owner has the most views that are allowed. The message names the owner."""


class NotErasable(StorageError):
    """Nothing of a run can be removed now. The message names the hold or the job that keeps it."""


class TooManyHolds(StorageError):
    """So many holds of a scope are open as may be. The message says how many."""


class TooManyTags(StorageError):
    """A run would have more tags than are allowed. The message says how many."""


class NotSettled(StorageError):
    """A run has not ended, so it cannot be reviewed. The message names its state."""


class TooManyReviews(StorageError):
    """A run has as many reviews as it may. The message says how many."""


class StatementTimeout(StorageError):
    """A statement exceeded its time limit."""


class BadStatement(StorageError):
    """The database does not accept a statement. The message is the database's.

    `position` is the character from which it is wrong, None where that is unknown.
    """

    def __init__(self, statement: str, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.statement = statement
        self.position = position


class NotReadable(StorageError):
    """A statement reads or does what is not allowed. The message names it."""


class RoleTooPowerful(StorageError):
    """The role for users' SQL can do more than read the views, or cannot read them. The message says what."""
