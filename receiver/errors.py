"""Every error this package raises, drawn as a tree.

ReceiverError
├── SettingsError            the environment does not make a runnable server
├── BadToken                 a callback address that we did not sign
├── BadSignature             an event whose signature does not hold, for any reason
│   └── OutsideTolerance     the signature holds, the timestamp is too far from now
├── BadSeal                  a stored secret that none of our keys opens
├── UpstreamError            a call to Case.dev that gave no usable answer
│   ├── NoAnswer             the transport failed: the request may or may not have been processed
│   │   └── NotSent          ... before there was a connection: nothing was processed
│   ├── Unreadable           a 2xx whose body is not what it must be (truncated, HTML, junk)
│   │   ├── TooLarge         ... because it is larger than we take
│   │   ├── TooDeep          ... because it nests deeper than a parser goes
│   │   ├── BadPaging        ... because no page of a list follows on it, though one should
│   │   └── TooCostly        ... because parsing it takes more than there is for it
│   └── Answered             a status other than 2xx
├── ParserNotStarted         the process that parses large answers does not start: a fault of the installation
├── NotDelivered             the backend did not take a notification
├── Interrupted              a stream of events that ends here before it ends upstream
├── UnreadableRow            what is stored of one thing makes no answer
├── BadExport                a file that is no export of ours, or not a whole one
├── NotInstalled             something that is wanted needs a package that is not there
├── UnusableKey              a name or a scope that no API key can have
└── RequestError             a request to our API that we turn away; the message is for who sent it
    ├── NotAuthenticated     no API key, or none that is valid
    ├── NotPermitted         the key lacks a scope
    ├── NotFound             there is nothing of that id
    ├── Pruned               there was, but it was removed on purpose
    ├── WrongMethod          the path takes other methods
    ├── BadParameter         a query parameter that is unknown, repeated, or unreadable
    ├── BadHeader            a header that we read and cannot use
    ├── BadBody              a body that is missing or no JSON
    ├── InvalidBody          JSON that is not what the operation takes; knows each fault
    ├── BodyTooLarge         a body over the limit
    ├── BodyTooSlow          a body that did not arrive in time
    ├── NoRoom               a body that had to make room for others
    ├── TooManyFailures      a request that does not verify, from where too many did not
    ├── WrongMediaType       a body that is declared as anything but plain JSON
    ├── NoSql                statements are not taken here
    ├── NotFollowed          nobody here can open the upstream's streams
    ├── TooManyStreams       as many streams or listeners as we take
    └── Conflict             what is asked contradicts what is there
        ├── KeyReused        an idempotency key that stands for another submission
        ├── BeyondTheEnd     a place in the feed that the feed has not reached: it was begun anew since
        ├── NotCreatedYet    the upstream does not know the run yet
        └── IsOrphan         the upstream id of an orphan, where only the run itself can be meant
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class ReceiverError(Exception):
    """The root: everything below is expected and has a place where it is handled."""


class SettingsError(ReceiverError):
    """The settings are unusable; the message names the setting and says what to do."""


class ShortSecret(SettingsError):
    """A secret of `size` bytes, which can be guessed: what it signs proves nothing."""

    def __init__(self, setting: str, size: int, least: int, remedy: str) -> None:
        super().__init__(f"{setting} holds a secret of {size} bytes, and {least} are the least; {remedy}")
        self.size = size


class BadToken(ReceiverError):
    """The token of a callback address was not signed by any of our keys."""


class BadSignature(ReceiverError):
    """A platform event does not verify; `reason` is a short phrase for the record, never for the sender."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OutsideTolerance(BadSignature):
    """The signature holds, but the timestamp is `skew` seconds away from now, or cannot be read (None).

    `secret` is the name of the one that signed, `delivery_id` the id that it vouches for.
    """

    def __init__(self, skew: int | None, secret: str, delivery_id: str) -> None:
        super().__init__("timestamp cannot be read" if skew is None else f"timestamp is {skew} s away from now")
        self.skew = skew
        self.secret = secret
        self.delivery_id = delivery_id


class BadSeal(ReceiverError):
    """A stored secret cannot be opened; the message says why, and nothing of it."""


class UpstreamError(ReceiverError):
    """A call to the upstream that gave no usable answer; `route` is its template, as in `POST /agent/v1/run`."""

    def __init__(self, route: str, message: str) -> None:
        super().__init__(f"{route}: {message}")
        self.route = route
        self.message = message

    @property
    def summary(self) -> str:
        """The failure without any words of the upstream's, which may repeat a prompt: for logs."""
        return f"{self.route}: {type(self).__name__}"


class NoAnswer(UpstreamError):
    """Connection refused, reset, timed out, or cut: what the upstream did is unknown."""


class NotSent(NoAnswer):
    """There was no connection, so the upstream saw nothing of the request."""


class Unreadable(UpstreamError):
    """A 2xx that cannot be used. `body` holds the bytes that did arrive."""

    def __init__(self, route: str, message: str, body: bytes = b"") -> None:
        super().__init__(route, message)
        self.body = body


class TooLarge(Unreadable):
    """The answer is larger than the client takes."""


class TooDeep(Unreadable):
    """The answer is valid JSON as far as anyone can tell, nested deeper than a parser goes."""


class BadPaging(Unreadable):
    """A list goes on without a cursor, in a circle, or through empty pages. The message says where."""


class TooCostly(Unreadable):
    """The process that parses the answer came to no end: for want of memory or time, or it was ended."""


#: Details that came, and that cannot be read.
UNREADABLE = (TooLarge, TooDeep, TooCostly)


class ParserNotStarted(ReceiverError):
    """`program` could not be run as a Python that finds this package. It says nothing of the answer."""

    def __init__(self, program: str) -> None:
        super().__init__(
            f"the process that parses large answers does not start: {program} must be a Python that can import "
            "`receiver`, and must be allowed to begin one"
        )
        self.program = program


class Answered(UpstreamError):
    """The upstream answered with a status other than 2xx.

    `retry_after` is in seconds, None where the answer named none.
    """

    def __init__(self, route: str, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(route, f"{status} {message}")
        self.status = status
        self.retry_after = retry_after

    @property
    def summary(self) -> str:
        """As above, with the status."""
        return f"{self.route}: {self.status}"


class NotDelivered(ReceiverError):
    """The backend did not take a notification; `reason` is one line.

    `status` is None where nothing was answered, `retry_after` in seconds where the answer named some.
    """

    def __init__(self, reason: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after

    @property
    def is_final(self) -> bool:
        """Whether the backend said that it wants no more of them (410)."""
        return self.status == 410


class Interrupted(ReceiverError):
    """Whoever listens may connect again with the id of the last event; the message says why this is necessary."""


class UnreadableRow(ReceiverError):
    """The stored row that `row` names cannot be read: somebody else wrote it, or it is damaged."""

    def __init__(self, row: str) -> None:
        super().__init__(
            f"what is stored of {row} cannot be read: the log names the value, as `row_not_readable`; correct it "
            "in the database, or restore it from a copy"
        )


class BadExport(ReceiverError):
    """The message says what is wrong, and in which line."""


class NotInstalled(ReceiverError):
    """`command` installs what is missing."""

    def __init__(self, what: str, command: str) -> None:
        super().__init__(f"{what} needs a package that is not installed here: {command}")
        self.command = command


class UnusableKey(ReceiverError):
    """An API key cannot be made so; the message says what is allowed."""


class RequestError(ReceiverError):
    """Nothing was changed; the message tells the sender what to do about it."""


class NotAuthenticated(RequestError):
    """`was_given` tells a key that is not valid from no key at all."""

    def __init__(self, message: str, *, was_given: bool = False) -> None:
        super().__init__(message)
        self.was_given = was_given


class NotPermitted(RequestError):
    """The key is valid, and lacks `scope`."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this needs an API key with the scope {scope!r}")
        self.scope = scope


class NotFound(RequestError):
    """The message says what there is not."""


class Pruned(RequestError):
    """The content of the run `run_id` was removed."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"the content of run {run_id} was removed by `runledger prune`; measures and ledger stay")
        self.run_id = run_id


class WrongMethod(RequestError):
    """`allowed` are the methods that the path takes."""

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        super().__init__(f"this path takes {', '.join(allowed)}, not {method[:32]}")
        self.allowed = tuple(allowed)


class BadParameter(RequestError):
    """`name` is the parameter, `meant` a known one that it resembles."""

    def __init__(self, name: str, message: str, meant: str | None = None) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.meant = meant


class BadHeader(RequestError):
    """`name` is the header."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name


class BadBody(RequestError):
    """Bytes that cannot be read at all."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at one place of a body. `pointer` is a JSON pointer in a URI fragment (RFC 6901, 6)."""

    pointer: str
    detail: str


class InvalidBody(RequestError):
    """The body was read; `faults` say where it is not what it should be."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("the body is not what this operation takes")
        self.faults = tuple(faults)


class BodyTooLarge(RequestError):
    """More than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes")
        self.limit = limit


class BodyTooSlow(RequestError):
    """The body took longer than the house waits."""


class NoRoom(RequestError):
    """More bytes of bodies arrive at once than are held; this one had been arriving for the longest."""


class TooManyFailures(RequestError):
    """The request did not verify, like too many before it from the same address."""


class WrongMediaType(RequestError):
    """The message names the type that is taken."""


class NoSql(RequestError):
    """The message says which setting is missing."""


class NotFollowed(RequestError):
    """The events are not stored, and whoever is asked does not speak to the upstream."""

    def __init__(self) -> None:
        super().__init__(
            "the events of this run are not stored here, and nobody here asks the upstream for them: "
            "that takes CASEDEV_API_KEY and a server that is started without --no-worker"
        )


class TooManyStreams(RequestError):
    """The message says of what there are too many; a slot comes free when somebody stops listening."""


class Conflict(RequestError):
    """The request is well-formed; the state of things forbids it."""


class KeyReused(Conflict):
    """`run_id` is the run that was submitted under the idempotency key."""

    def __init__(self, run_id: str, *, pruned: bool = False) -> None:
        which = "a submission whose content was removed" if pruned else "another submission"
        super().__init__(f"this idempotency key was used for {which}, run {run_id}")
        self.run_id = run_id


class BeyondTheEnd(Conflict):
    """`last` is the last number of the feed, -1 where it has none."""

    def __init__(self, after: int, last: int) -> None:
        super().__init__(
            f"the feed ends with number {last}, before {after}: the store was restored from an older copy, and "
            "the numbers behind it are given anew; read on from one that you know to be older still, or from -1"
        )
        self.last = last


class NotCreatedYet(Conflict):
    """`run_id` is ours; there is no upstream run yet that could be asked."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"the upstream does not know run {run_id} yet, so there is nothing to fetch")
        self.run_id = run_id


class IsOrphan(Conflict):
    """`run_id` is our id of the run that was submitted; the upstream run that was named is an orphan of it."""

    def __init__(self, upstream_id: str, run_id: str) -> None:
        super().__init__(
            f"the upstream run {upstream_id} is an orphan of run {run_id}: a lost answer left it behind, and it "
            f"is cancelled upstream by itself; name {run_id} if you mean the run that was submitted"
        )
        self.run_id = run_id
