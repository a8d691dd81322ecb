"""The table that maps each error to a problem answer (RFC 9457).

An error that is not in the table, or is mapped to INTERNAL, is answered without its message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from receiver import errors
from receiver.schemas import responses
from receiver.web import request_limits
from storage import errors as storage_errors

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem. Without a `name`, the status alone describes it.

    `shows_message` means that the answer contains the message of the error. `retry_after` is in seconds.
    """

    status: int
    name: str | None = None
    title: str | None = None
    shows_message: bool = True
    retry_after: int | None = None

    @property
    def type(self) -> str:
        return "about:blank" if self.name is None else f"urn:runledger:problem:{self.name}"


INTERNAL = Kind(500, shows_message=False)
_AWAY = Kind(503, "unavailable", "The database cannot be used now", shows_message=False, retry_after=5)
_UPSTREAM = Kind(502, "upstream", "The upstream gave no usable answer", shows_message=False)

KINDS: Mapping[type[Exception], Kind] = {
    storage_errors.Unavailable: _AWAY,
    storage_errors.Busy: Kind(503, "busy", "Too many requests at once", shows_message=False, retry_after=1),
    storage_errors.UnstorableValue: INTERNAL,
    storage_errors.SchemaMismatch: _AWAY,
    storage_errors.DatabaseInUse: _AWAY,
    storage_errors.NotDurable: _AWAY,
    storage_errors.WrongEncoding: _AWAY,
    storage_errors.DatabaseMoved: _AWAY,
    storage_errors.TargetNotEmpty: INTERNAL,
    storage_errors.DatabaseDamaged: INTERNAL,
    storage_errors.StoresDiffer: INTERNAL,
    storage_errors.HistoryChanged: INTERNAL,
    storage_errors.LeaseLost: INTERNAL,
    storage_errors.BadCursor: Kind(400, "bad-cursor", "The cursor cannot be used"),
    storage_errors.BadFilter: Kind(400, "bad-parameter", "A parameter cannot be read"),
    storage_errors.BadQuery: Kind(400, "bad-question", "The query cannot be read"),
    storage_errors.NothingToRun: Kind(409, "nothing-to-run", "The run cannot be run again"),
    storage_errors.NothingToNotify: Kind(409, "nothing-to-notify", "The backend cannot be notified"),
    storage_errors.NameTaken: Kind(409, "name-taken", "The name is taken"),
    storage_errors.TooManyViews: Kind(409, "too-many-views", "There are too many views"),
    storage_errors.NotErasable: Kind(409, "not-erasable", "The run cannot be erased now"),
    storage_errors.TooManyHolds: Kind(409, "too-many-holds", "There are too many holds"),
    storage_errors.TooManyTags: Kind(422, "too-many-tags", "The run would have too many tags"),
    storage_errors.NotSettled: Kind(409, "not-settled", "The run has not ended"),
    storage_errors.TooManyReviews: Kind(409, "too-many-reviews", "The run has too many reviews"),
    storage_errors.StatementTimeout: Kind(503, "too-slow", "The query takes too long", retry_after=60),
    storage_errors.BadStatement: Kind(400, "bad-statement", "The statement cannot be executed"),
    storage_errors.NotReadable: Kind(403, "not-readable", "The statement does more than it may"),
    storage_errors.RoleTooPowerful: Kind(503, "unconfined", "The role for SQL cannot be used"),
    errors.SettingsError: INTERNAL,
    errors.ShortSecret: INTERNAL,
    errors.BadToken: Kind(404, shows_message=False),
    errors.BadSignature: Kind(401, "bad-signature", "The signature does not verify", shows_message=False),
    errors.OutsideTolerance: Kind(
        503, "outside-tolerance", "The timestamp is too far from now", shows_message=False
    ),
    errors.SecretNotDecrypted: INTERNAL,
    errors.UpstreamError: _UPSTREAM,
    errors.UpstreamUnreachable: _UPSTREAM,
    errors.RequestNotSent: _UPSTREAM,
    errors.InvalidResponse: _UPSTREAM,
    errors.ResponseTooLarge: _UPSTREAM,
    errors.ResponseTooDeep: _UPSTREAM,
    errors.InvalidPaging: _UPSTREAM,
    errors.ParserLimitExceeded: _UPSTREAM,
    errors.ParserNotStarted: INTERNAL,
    errors.UpstreamStatusError: _UPSTREAM,
    errors.NotificationFailed: INTERNAL,
    errors.StreamInterrupted: INTERNAL,
    errors.UnreadableRow: Kind(500, "unreadable-row", "A stored row cannot be read"),
    errors.EvidenceNotMade: Kind(409, "evidence-not-made", "Evidence cannot be made now"),
    errors.InvalidExport: INTERNAL,
    errors.PackageMissing: Kind(501, "not-installed", "This server lacks a package that the request needs"),
    errors.InvalidKeyRequest: Kind(422, "unusable-key", "The request for a key is not valid"),
    errors.RequestError: Kind(400),
    errors.NotAuthenticated: Kind(401, "not-authenticated", "An API key is needed"),
    errors.NotPermitted: Kind(403, "not-permitted", "The API key lacks a scope"),
    errors.ForeignForm: Kind(403, "foreign-form", "The form was not accepted"),
    errors.NotFound: Kind(404, "not-found", "Nothing was found"),
    errors.RunPruned: Kind(410, "pruned", "The content of the run was removed"),
    errors.WrongMethod: Kind(405, "wrong-method", "The path does not take this method"),
    errors.BadParameter: Kind(400, "bad-parameter", "A parameter cannot be read"),
    errors.BadHeader: Kind(400, "bad-header", "A header cannot be read"),
    errors.BadBody: Kind(400, "bad-body", "The body cannot be read"),
    errors.InvalidBody: Kind(422, "invalid-body", "The body is not valid"),
    errors.BodyTooLarge: Kind(413, "body-too-large", "The body is too large"),
    errors.BodyTooSlow: Kind(408, "body-too-slow", "The body did not arrive in time"),
    errors.TooManyBodies: Kind(503, "busy", "Too many bodies arrive at once", shows_message=False, retry_after=1),
    errors.TooManyFailures: Kind(
        429, "too-many-failures", "Too many requests from this address did not verify", retry_after=10
    ),
    errors.WrongMediaType: Kind(415, "wrong-media-type", "The body is not plain JSON"),
    errors.SqlDisabled: Kind(403, "no-sql", "SQL statements are turned off"),
    errors.StreamsUnavailable: Kind(503, "not-followed", "The events cannot be streamed here"),
    errors.TooManyStreams: Kind(503, "too-many-streams", "Too many streams are open", retry_after=5),
    errors.Conflict: Kind(409),
    errors.NotProcessable: Kind(409, "not-processable", "The delivery cannot be processed again"),
    errors.IdempotencyKeyReused: Kind(
        409, "idempotency-key-reused", "The idempotency key belongs to another submission"
    ),
    errors.CursorBeyondEnd: Kind(409, "beyond-the-end", "The feed ends before that number"),
    errors.NotCreatedYet: Kind(409, "not-created-yet", "The upstream does not know the run yet"),
    errors.RunIsOrphan: Kind(409, "orphan", "The id belongs to an orphan of a run"),
}


def kind(error: Exception) -> Kind:
    """Return the kind of an error: that of its class, or of the nearest base class in the table."""
    return next((KINDS[above] for above in type(error).__mro__ if above in KINDS), INTERNAL)


def answer(error: Exception) -> Response:
    """Return the problem answer for any error."""
    if isinstance(error, HTTPException):
        return _respond(Kind(error.status_code), None, {}, dict(error.headers or {}))
    found = kind(error)
    detail = _clean(str(error)) if found.shows_message else None
    return _respond(found, detail, _evidence(error), _headers(error, found))


def _respond(found: Kind, detail: str | None, evidence: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    title = found.title or HTTPStatus(found.status).phrase
    problem = responses.Problem(type=found.type, title=title, status=found.status, detail=detail, **evidence)
    body = problem.model_dump_json(by_alias=True, exclude_none=True)
    return Response(body, found.status, {"cache-control": "no-store", **headers}, MEDIA_TYPE)


def _evidence(error: Exception) -> dict[str, Any]:
    """Return the fields of the answer that come from attributes of the error."""
    match error:
        case storage_errors.BadCursor():
            return {"parameter": "cursor"}
        case storage_errors.BadFilter():
            return {"parameter": error.name, "did_you_mean": error.suggestion}
        case storage_errors.BadQuery():
            return {"parameter": "q", "position": error.position, "did_you_mean": error.suggestion}
        case storage_errors.BadStatement():
            return {"position": error.position}
        case errors.BadParameter():
            return {"parameter": _clean(error.name), "did_you_mean": error.suggestion}
        case errors.BadHeader():
            return {"header": error.name}
        case errors.NotPermitted():
            return {"scope": error.scope}
        case errors.IdempotencyKeyReused() | errors.NotCreatedYet() | errors.RunIsOrphan() | errors.RunPruned():
            return {"run_id": error.run_id}
        case errors.InvalidBody():
            faults = [{"pointer": _clean(each.pointer), "detail": _clean(each.detail)} for each in error.faults]
            return {"errors": faults}
    return {}


def _headers(error: Exception, found: Kind) -> dict[str, str]:
    headers = {} if found.retry_after is None else {"retry-after": str(found.retry_after)}
    match error:
        case errors.NotAuthenticated():
            invalid = ', error="invalid_token"' if error.key_given else ""
            headers["www-authenticate"] = f'Bearer realm="runledger"{invalid}'
        case errors.NotPermitted():
            scope = f'error="insufficient_scope", scope="{error.scope}"'
            headers["www-authenticate"] = f'Bearer realm="runledger", {scope}'
        case errors.WrongMethod():
            headers["allow"] = ", ".join(error.allowed)
        case errors.TooManyFailures():
            headers |= rate_limit(found.retry_after or 1)
        case errors.BodyTooLarge() | errors.BodyTooSlow() | errors.TooManyBodies():
            headers["connection"] = "close"  # the rest of the body is not read
    return headers


def rate_limit(seconds: int) -> dict[str, str]:
    """Return the headers that describe the limit on failures, which is used up for so many seconds.

    The form is that of draft-ietf-httpapi-ratelimit-headers-10: a quota `q` for each window of `w` seconds, of
    which `r` remain, and `t` seconds until there is more.
    """
    bounds = request_limits.Bounds()
    window = round(bounds.failures * bounds.seconds)
    return {
        "ratelimit-policy": f'"failures";q={bounds.failures};w={window}',
        "ratelimit": f'"failures";r=0;t={seconds}',
    }


def _clean(text: str) -> str:
    """Return `text` without lone surrogates, at most 500 characters of it."""
    return text.encode("utf-8", "replace").decode()[:500]


class Answering:
    """The answer of one request, of which it records the status; 0 before it begins.

    `respond` makes the response to an error.
    """

    def __init__(self, send: Send, respond: Callable[[Exception], Response] | None = None) -> None:
        self._send = send
        self._respond = respond or answer
        self.status = 0

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive) -> None:
        """Run an application. Its errors become responses; unexpected ones are logged."""
        try:
            await app(scope, receive, self._observed)
        except Exception as error:
            if scope["type"] != "http" or self.status:
                raise
            response = self._respond(error)
            if kind(error) is INTERNAL and response.status_code == INTERNAL.status:
                structlog.get_logger("runledger").error("request_failed", method=scope["method"], exc_info=error)
            await response(scope, receive, self._observed)

    async def _observed(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


class LastResort:
    """The outermost ASGI middleware of the public endpoints: it answers unexpected errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Answering(send).run(self._app, scope, receive)
