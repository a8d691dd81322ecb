"""Pages for requests that fail: what happened, what it means, and what to do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from receiver import errors
from receiver.pages import formats, requests
from receiver.web import problems
from storage import errors as storage_errors

#: The seconds after which a page asks again while the database is unavailable.
ASK_AGAIN = 5


def respond(given: requests.PageRequest, error: Exception) -> Response:
    """Return the page for an error; a request without a session is sent to the page that signs in."""
    if isinstance(error, errors.NotAuthenticated) and given.visitor is None:
        return _sign_in(given)
    kind = problems.kind(error)
    shown = _sentence(error) if kind.shows_message else ""
    values: dict[str, Any] = {"kind": kind, "error": error, "name": _name(error), "message": shown}
    if given.is_partial:
        response = given.partial("failed.html", "message", **values)
        response.status_code = kind.status
        return response
    response = given.page("failed.html", kind.status, **values)
    if kind.status == HTTPStatus.SERVICE_UNAVAILABLE and given.request.method == "GET":
        response.headers["refresh"] = str(ASK_AGAIN)
    if isinstance(error, errors.WrongMethod):
        response.headers["allow"] = ", ".join(error.allowed)
    return response


def _sign_in(given: requests.PageRequest) -> Response:
    back = given.address if given.request.method == "GET" and given.address != "/" else None
    address = given.url("/sign-in", {"next": back})
    if given.is_partial:
        return Response(status_code=401, headers={"hx-redirect": given.url("/sign-in")})
    return given.redirect(address)


def _name(error: Exception) -> str:
    """Return the name of the error for the template."""
    if isinstance(error, storage_errors.Unavailable | storage_errors.SchemaMismatch):
        return "away"
    return type(error).__name__


def _sentence(error: Exception) -> str:
    """Return the message of an error as a sentence."""
    text = str(error).strip()[:500]
    return f"{formats.capitalize_first(text)}{'' if text.endswith(('.', '?', '!')) else '.'}" if text else ""
