"""The errors of the client: one tree, made from the problem answers (RFC 9457) of the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The most characters of an answer that a message shows, where it is no problem answer.
_SHOWN = 200


class RunledgerError(Exception):
    """The root of what this client raises."""


class ServerUnreachable(RunledgerError):
    """No whole answer came. Whether the server has carried out the request is unknown, unless `is_unsent`."""

    def __init__(self, message: str, *, is_unsent: bool = False) -> None:
        super().__init__(message)
        self.is_unsent = is_unsent


class InvalidAnswer(RunledgerError):
    """The answer is not what Runledger answers: another program, or another release, is at the address."""


class StillRunning(RunledgerError):
    """The run `run` has not ended within the time that `wait` was given."""

    def __init__(self, run: str, seconds: float) -> None:
        super().__init__(f"run {run} has not ended within {seconds:g} s; it goes on")
        self.run = run


class Problem(RunledgerError):
    """The server refused the request; `status` and `type` are those of the problem, `detail` says what to do.

    `name` is the last part of `type`, such as `not-found`; empty where the status says all. `retry_after` is in
    seconds. `fields` has all that the answer held, such as `runId` and `errors`.
    """

    def __init__(self, status: int, fields: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.fields = fields
        self.type = str(fields.get("type", "about:blank"))
        self.name = self.type.rpartition(":")[2] if self.type.startswith("urn:runledger:problem:") else ""
        self.title = str(fields.get("title", ""))
        self.detail: str | None = fields.get("detail")
        self.did_you_mean: str | None = fields.get("didYouMean")
        self.retry_after = retry_after
        super().__init__(": ".join([str(status), *filter(None, [self.detail or self.title, *self._faults()])]))

    def _faults(self) -> list[str]:
        """Return the faults of a body, in one text."""
        faults = [f"{each.get('pointer')} {each.get('detail')}" for each in self.fields.get("errors") or ()]
        return ["; ".join(faults)] if faults else []


class InvalidRequest(Problem):
    """The request is wrong and stays wrong: a parameter, a header or the body."""


class NotAuthenticated(Problem):
    """The API key is missing, unknown or revoked."""


class NotPermitted(Problem):
    """The API key lacks a scope, or the server does not allow it to anybody."""


class NotFound(Problem):
    """What the request names does not exist."""


class Conflict(Problem):
    """The present state forbids the request."""


class Gone(Problem):
    """The content of the run was removed."""


class TooManyRequests(Problem):
    """The server asks for a pause of `retry_after` seconds."""


class Unavailable(Problem):
    """The server cannot answer now."""


class ServerFault(Problem):
    """The server has a fault; its log has the reason."""


_BY_STATUS: Mapping[int, type[Problem]] = {
    401: NotAuthenticated,
    403: NotPermitted,
    404: NotFound,
    409: Conflict,
    410: Gone,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def problem(status: int, fields: Mapping[str, Any], retry_after: float | None = None) -> Problem:
    """Return the error for a status that is no success."""
    kind = _BY_STATUS.get(status, InvalidRequest if status < 500 else ServerFault)
    return kind(status, fields, retry_after)


def unlike_problem(text: str) -> Mapping[str, Any]:
    """Return the fields for an answer that is no problem, such as the page of a proxy."""
    return {"title": " ".join(text.split())[:_SHOWN]}
