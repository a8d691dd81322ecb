"""Every error this package raises, drawn as a tree.

StorageError
├── Unavailable          the database cannot be used now; the same call may work later
│   └── Busy             ... because the queue in front of it is full
├── Unstorable           a value that the database cannot hold; the same call would fail again
├── SchemaMismatch       the database was made by another version
├── InUse                another server holds this data directory
├── NotDurable           a database server that may lose what it has committed
├── WrongEncoding        a database server that cannot hold every text
├── Moved                another database took over from this one
├── Occupied             there is something already where a copy is to go
├── Damaged              a file that is no whole store, so no copy of one either
├── Unequal              two stores that should hold the same and do not
├── Fenced               the lease of a job is no longer ours; whatever we were about to write is void
├── BadCursor            a page cursor that we did not hand out
├── BadFilter            a filter value that cannot be read; knows its parameter
├── BadStatement         SQL of somebody's that cannot be carried out; knows the place, where that is known
├── NotReadable          SQL of somebody's that reaches for what is not to be read or done
└── Unconfined           a role for such SQL that may do more than that
"""

from __future__ import annotations


class StorageError(Exception):
    """The root: everything below is expected and has a place where it is handled."""


class Unavailable(StorageError):
    """Locked, full, away, or lost in COMMIT. Nothing is known to have been written."""


class Busy(Unavailable):
    """A queue is full: the one in front of the writer, or that of the questions."""


class Unstorable(StorageError):
    """The message says why in the driver's words, and of which run where that is known."""


class SchemaMismatch(StorageError):
    """The message says which revision was found, which one is wanted, and what to do."""


class InUse(StorageError):
    """A second server on one embedded database; the message names the lock file."""


class NotDurable(StorageError):
    """What is acknowledged could be lost, so nothing is; the message says what to set."""


class WrongEncoding(StorageError):
    """The message names the encoding and says how to make a database that has the right one."""


class Moved(StorageError):
    """The message says where to."""


class Occupied(StorageError):
    """Nothing was written; the message says over what, and what allows it."""


class Damaged(StorageError):
    """The message says what is wrong with which file."""


class Unequal(StorageError):
    """The message names the first table and row in which they differ."""


class Fenced(StorageError):
    """Another worker claimed the job meanwhile: ours must stop without writing."""


class BadCursor(StorageError):
    """The cursor does not decode, or belongs to another sort order."""


class BadFilter(StorageError):
    """A filter value that cannot be read; `name` is the parameter, the message says what is expected."""

    def __init__(self, name: str, message: str, meant: str | None = None) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message
        self.meant = meant


class BadQuestion(StorageError):
    """A `question` in the filter language that cannot be read, and the character from which it is wrong.

    `meant` is what was likely meant there.
    """

    def __init__(self, question: str, position: int, message: str, meant: str | None = None) -> None:
        super().__init__(message)
        self.question = question
        self.position = position
        self.meant = meant


class TooSlow(StorageError):
    """A statement did not come to its end within its time."""


class BadStatement(StorageError):
    """A `statement` that the database does not take, in the database's own words.

    `position` is the character from which it is wrong, None where that is not known.
    """

    def __init__(self, statement: str, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.statement = statement
        self.position = position


class NotReadable(StorageError):
    """What was asked for is not readable here; the message names it."""


class Unconfined(StorageError):
    """The role for SQL can do more than read what is listed, or cannot do even that; the message says what."""
