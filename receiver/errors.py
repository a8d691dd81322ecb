"""Every error this package raises: each is expected, and one place handles it.

`UpstreamError` is the root of what a call to Case.dev raises. The message of a `RequestError` is for the sender of
the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class ReceiverError(Exception):
    """The root of the tree. Every error below is expected, and one place handles it."""


class SettingsError(ReceiverError):
    """The settings are unusable; the message names the setting and says what to do."""


class ShortSecret(SettingsError):
    """A secret of `size` bytes can be guessed, so what it signs proves nothing."""

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
    """The signature is valid, but the timestamp is `skew` seconds away from now, or unreadable (None).

    `secret` is the name of the one that signed, `delivery_id` the id that it vouches for.
    """

    def __init__(self, skew: int | None, secret: str, delivery_id: str) -> None:
        super().__init__("timestamp cannot be read" if skew is None else f"timestamp is {skew} s away from now")
        self.skew = skew
        self.secret = secret
        self.delivery_id = delivery_id


class SecretNotDecrypted(ReceiverError):
    """A stored secret cannot be decrypted; the message says why and contains nothing of the secret."""


class UpstreamError(ReceiverError):
    """A call to the upstream gave no usable answer; `route` is its template, as in `POST /agent/v1/run`.

    `status` is None where it was 2xx or unknown. `retry_after` is in seconds, None where the answer named none.
    """

    status: int | None = None
    retry_after: float | None = None

    def __init__(self, route: str, message: str) -> None:
        super().__init__(f"{route}: {message}")
        self.route = route
        self.message = message

    @property
    def summary(self) -> str:
        """Return the failure without any text of the upstream's, which may repeat a prompt: for logs."""
        return f"{self.route}: {type(self).__name__}"


class UpstreamUnreachable(UpstreamError):
    """The connection was refused, reset, cut, or timed out: what the upstream did is unknown."""


class RequestNotSent(UpstreamUnreachable):
    """There was no connection, so the upstream saw nothing of the request."""


class InvalidResponse(UpstreamError):
    """A 2xx is unusable: truncated, HTML, junk. `body` holds the bytes that arrived."""

    def __init__(self, route: str, message: str, body: bytes = b"") -> None:
        super().__init__(route, message)
        self.body = body


class ResponseTooLarge(InvalidResponse):
    """The answer is larger than the client's limit."""


class ResponseTooDeep(InvalidResponse):
    """The answer is probably valid JSON, but nests deeper than the parser allows."""


class InvalidPaging(InvalidResponse):
    """A list continues without a cursor, in a circle, or through empty pages. The message says where."""


class ParserLimitExceeded(InvalidResponse):
    """The parser process did not finish: it lacked memory or time, or it was killed."""


#: The errors of details that arrived and can never be read.
INVALID_DETAILS = (ResponseTooLarge, ResponseTooDeep, ParserLimitExceeded)


class ParserNotStarted(ReceiverError):
    """`program` could not be run as a Python that finds this package: a fault of the installation."""

    def __init__(self, program: str) -> None:
        super().__init__(
            f"the process that parses large answers does not start: {program} must be a Python that can import "
            "`receiver`, and this server must be allowed to start it"
        )


class UpstreamStatusError(UpstreamError):
    """The upstream answered with a status other than 2xx."""

    status: int

    def __init__(self, route: str, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(route, f"{status} {message}")
        self.status = status
        self.retry_after = retry_after

    @property
    def summary(self) -> str:
        """Return the failure without any text of the upstream's, with the status."""
        return f"{self.route}: {self.status}"


class NotificationFailed(ReceiverError):
    """The backend did not accept a notification; `reason` is one line.

    `status` is None where no answer came. `retry_after` is in seconds, None where the answer named none.
    """

    def __init__(self, reason: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after

    @property
    def is_final(self) -> bool:
        """Return whether the backend refuses further notifications (410)."""
        return self.status == 410


class StreamInterrupted(ReceiverError):
    """A listener may connect again with the id of the last event; the message says why that is necessary."""


class UnreadableRow(ReceiverError):
    """The stored row that `row` names cannot be read: somebody else wrote it, or it is damaged."""

    def __init__(self, row: str) -> None:
        super().__init__(
            f"what is stored of {row} cannot be read: the log names the value, as `row_not_readable`; correct it "
            "in the database, or restore it from a copy"
        )


class EvidenceNotMade(ReceiverError):
    """Evidence cannot be made of what is stored now; the message says why and what to do."""


class InvalidExport(ReceiverError):
    """A file cannot be imported; the message says what is wrong, and in which line."""


class PackageMissing(ReceiverError):
    """A package is missing; `command` installs it."""

    def __init__(self, what: str, command: str) -> None:
        super().__init__(f"{what} needs a package that is not installed here: {command}")


class InvalidKeyRequest(ReceiverError):
    """The request for an API key is invalid; the message says what is allowed."""


class RequestError(ReceiverError):
    """A request is rejected and nothing was changed; the message tells its sender what to do."""


class NotAuthenticated(RequestError):
    """The request has no valid API key; `key_given` distinguishes an invalid key from none."""

    def __init__(self, message: str, *, key_given: bool = False) -> None:
        super().__init__(message)
        self.key_given = key_given


class NotPermitted(RequestError):
    """The key is valid and lacks `scope`."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this needs an API key with the scope {scope!r}")
        self.scope = scope


class ForeignForm(RequestError):
    """A form was not sent from a page of this server, or belongs to another session."""


class NotFound(RequestError):
    """Something that the request names does not exist; the message says what."""


class RunPruned(RequestError):
    """The content of the run `run_id` was removed."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"the content of run {run_id} was removed; measures and ledger stay")
        self.run_id = run_id


class WrongMethod(RequestError):
    """The path does not take the method; `allowed` are the methods that it takes."""

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        super().__init__(f"this path takes {', '.join(allowed)}, not {method[:32]}")
        self.allowed = tuple(allowed)


class BadParameter(RequestError):
    """A parameter is wrong: `name` is the parameter, `suggestion` a known one that it resembles."""

    def __init__(self, name: str, message: str, suggestion: str | None = None) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.suggestion = suggestion


class BadHeader(RequestError):
    """A header is wrong; `name` is the header."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name


class BadBody(RequestError):
    """The body cannot be parsed at all."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a body. `pointer` is a JSON pointer in a URI fragment (RFC 6901, 6)."""

    pointer: str
    detail: str


class InvalidBody(RequestError):
    """The body was parsed; `faults` name the places where it is wrong."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("the body is not what this operation takes")
        self.faults = tuple(faults)


class BodyTooLarge(RequestError):
    """The body has more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes")


class BodyTooSlow(RequestError):
    """The body took longer than the server waits."""


class TooManyBodies(RequestError):
    """The memory for arriving bodies was full, and this body had been arriving for the longest."""


class TooManyFailures(RequestError):
    """The request did not verify, like too many before it from the same address."""


class WrongMediaType(RequestError):
    """The body has a media type that is not accepted; the message names the accepted type."""


class SqlDisabled(RequestError):
    """SQL of users is disabled; the message names the missing setting."""


class StreamsUnavailable(RequestError):
    """The events are not stored, and this process does not call the upstream."""

    def __init__(self) -> None:
        super().__init__(
            "the events of this run are not stored, and this server does not read them from the upstream: "
            "that needs CASEDEV_API_KEY and a start without --no-worker"
        )


class TooManyStreams(RequestError):
    """A limit of streams is reached, which the message names; a slot is free again once a listener leaves."""


class Conflict(RequestError):
    """The request is well-formed, but the present state forbids it."""


class NotProcessable(Conflict):
    """A stored delivery cannot be processed again; the message says why."""


class IdempotencyKeyReused(Conflict):
    """The idempotency key belongs to another or a pruned submission; `run_id` is the run submitted under it."""

    def __init__(self, run_id: str, *, pruned: bool = False) -> None:
        which = "a submission whose content was removed" if pruned else "another submission"
        super().__init__(f"this idempotency key was used for {which}, run {run_id}")
        self.run_id = run_id


class CursorBeyondEnd(Conflict):
    """The cursor lies beyond the feed; `last` is the last number of the feed, -1 where it has none."""

    def __init__(self, after: int, last: int) -> None:
        super().__init__(
            f"the feed ends with number {last}, before {after}: the database was restored from an older "
            "backup, and later numbers are assigned again; continue from a number before the backup, or from -1"
        )
        self.last = last


class NotCreatedYet(Conflict):
    """There is no upstream run yet that could be asked; `run_id` is our id."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"the upstream does not know run {run_id} yet, so there is nothing to fetch")
        self.run_id = run_id


class RunIsOrphan(Conflict):
    """The upstream run that was named is an orphan of `run_id`, which is our id of the submitted run."""

    def __init__(self, upstream_id: str, run_id: str) -> None:
        super().__init__(
            f"the upstream run {upstream_id} is an orphan of run {run_id}: a lost answer left it behind, and it "
            f"is being cancelled upstream; use {run_id} for the run that was submitted"
        )
        self.run_id = run_id
