"""Answers as the service gives them: JSON of ASCII only, and error bodies in every form they are known in."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping

from starlette.responses import HTMLResponse, Response

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class Refusal(Exception):
    """The service says no: an HTTP status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Json(Response):
    """A JSON answer; escaped to ASCII, since prompts may hold surrogates that UTF-8 cannot."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return encoded(content)


def encoded(content: object) -> bytes:
    """Compact JSON bytes, also of the callbacks and events."""
    return json.dumps(content, separators=(",", ":")).encode("ascii")


def error(status: int, message: str, shape: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error answer in one of the shapes of `faults.SHAPES`."""
    if shape == "html":
        return page(status, headers)
    if shape == "empty":
        return Response(status_code=status, headers=headers)
    title = phrase(status)
    bodies: dict[str, object] = {
        "status": {"statusCode": status, "statusMessage": title, "message": message},
        "nested": {"error": {"message": message, "type": _TYPES.get(status, "api_error"), "code": str(status)}},
        "text": {"error": message},
        "flag": {"error": True, "statusCode": status, "statusMessage": title, "message": message},
    }
    return Json(bodies[shape], status_code=status, headers=headers)


def page(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """The kind of page that a proxy in front of a service shows."""
    title = f"{status} {phrase(status)}"
    html = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"
    return HTMLResponse(html, status_code=status, headers=headers)


def phrase(status: int) -> str:
    """The reason phrase of a status, also of one that HTTP does not know."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
