"""The form of requests and answers: checks of bodies, queries and URLs, and the shape of answers and errors."""

from __future__ import annotations

import datetime
import http
import ipaddress
import json
import math
import re
import socket
from collections.abc import Callable, Mapping, Sequence

import httpx2 as httpx
from starlette.responses import HTMLResponse, Response

#: Return whether a value has the right type.
Check = Callable[[object], bool]
Object = dict[str, object]
Headers = Mapping[str, str]

_DEPTH = 64
_LONGEST_URL = 2048
_PRIVATE_NAMES = (".local", ".internal", ".localhost", ".lan", ".home.arpa")
_TYPES = {400: "invalid_request", 401: "authentication", 404: "not_found", 429: "rate_limit"}


class ApiError(Exception):
    """An error answer: an HTTP status and a sentence."""

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
    """Return compact JSON in ASCII, for answers, callbacks and events."""
    return json.dumps(content, separators=(",", ":")).encode("ascii")


def instant(at: float) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC, to the millisecond."""
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown(record: object, *names: str) -> Object:
    """Return attributes of a record under their names in camel case; those called `…_at` as instants."""

    def value(name: str) -> object:
        found = getattr(record, name)
        return instant(found) if name.endswith("_at") and found is not None else found

    return {_camel(name): value(name) for name in names}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def error(status: int, message: str, shape: str, headers: Headers | None = None) -> Response:
    """Return an error answer in one of the shapes of `faults.SHAPES`."""
    if shape == "html":
        return page(status, headers)
    if shape == "empty":
        return Response(status_code=status, headers=headers)
    title, kind = phrase(status), _TYPES.get(status, "api")
    plain = {"statusCode": status, "statusMessage": title, "message": message}
    bodies: dict[str, object] = {
        "status": plain,
        "nested": {"error": {"message": message, "type": f"{kind}_error", "code": str(status)}},
        "text": {"error": message},
        "flag": {"error": True, **plain},
    }
    return Json(bodies[shape], status_code=status, headers=headers)


def page(status: int, headers: Headers | None = None) -> Response:
    """Return the kind of page that a proxy in front of a service shows."""
    title = f"{status} {phrase(status)}"
    html = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"
    return HTMLResponse(html, status_code=status, headers=headers)


def phrase(status: int) -> str:
    """Return the reason phrase of a status, also of one that HTTP does not know."""
    known = {each.value: each.phrase for each in http.HTTPStatus}
    return known.get(status, "Unknown")


def parsed(body: bytes) -> object:
    """Return the JSON value of a body; NaN, infinities and more than 64 levels are errors."""
    try:
        value = json.loads(body, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        raise ApiError(400, "Invalid JSON body") from None
    level = [value]
    for _ in range(_DEPTH):
        level = [child for item in level for child in _children(item)]
    if level:
        raise ApiError(400, "JSON body is nested too deeply")
    return value


def fields(body: bytes, checks: Mapping[str, Check], required: Sequence[str] = ()) -> Object:
    """Return the known fields of a JSON object, each of its right type; unknown fields are ignored."""
    value = parsed(body)
    if not isinstance(value, dict):
        raise ApiError(400, "Request body must be a JSON object")
    missing = [name for name in required if value.get(name) in (None, "")]
    if missing:
        raise ApiError(400, f"Missing required fields: {', '.join(missing)}")
    wrong = [name for name, check in checks.items() if name in value and not check(value[name])]
    if wrong:
        raise ApiError(400, f"Invalid value for: {', '.join(wrong)}")
    return {name: value[name] for name in checks if name in value}


def limit(value: str | None, highest: int) -> int:
    """Return the page size of a list call: 1 to `highest`, 50 where it is not given."""
    if value is None:
        return 50
    if not re.fullmatch(r"[0-9]{1,4}", value) or not 1 <= int(value) <= highest:
        raise ApiError(400, f"limit must be an integer between 1 and {highest}")
    return int(value)


def one_of(value: str | None, allowed: Sequence[str], name: str) -> str | None:
    """Return a query parameter that is absent or one of the allowed words."""
    if value is not None and value not in allowed:
        raise ApiError(400, f"{name} must be one of {', '.join(allowed)}")
    return value


def text(value: object) -> bool:
    """Return whether the value is a text."""
    return isinstance(value, str)


def text_or_null(value: object) -> bool:
    """Return whether the value is a text or null."""
    return value is None or isinstance(value, str)


def texts_or_null(value: object) -> bool:
    """Return whether the value is a list of texts or null."""
    return value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def whole(low: int, high: float) -> Check:
    """Return a check for integers from `low` to `high`."""
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def target(value: object, *, public_only: bool, field: str = "callbackUrl") -> str:
    """Return `value` if the service would call this URL: https to a public host, or loopback for tests.

    Raises ApiError with status 400 for any other; `public_only` refuses loopback too, as the real service does.
    """
    if not isinstance(value, str) or not value:
        raise ApiError(400, f"{field} is required and must be a string")
    try:
        url = httpx.URL(value)
        valid = len(value) <= _LONGEST_URL and re.fullmatch(r"[!-~]+", value) and (url.port or 0) <= 65_535
    except (httpx.InvalidURL, ValueError):
        valid = False
    if not valid:
        raise ApiError(400, f"{field} is not a valid URL")
    address = _address(url.host)
    loopback = url.host == "localhost" or (address is not None and address.is_loopback)
    if loopback and not public_only and url.scheme in ("http", "https"):
        return value
    if url.scheme != "https" or not url.host:
        raise ApiError(400, f"{field} must use https")
    if loopback or _is_private(url.host, address):
        raise ApiError(400, f"{field} must not point to a private network")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(digits)
    return value


def _children(item: object) -> Sequence[object]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []


def _is_private(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if address is not None:
        return not address.is_global
    return "." not in host.rstrip(".") or host.rstrip(".").endswith(_PRIVATE_NAMES)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host part spells, also in the short and hexadecimal forms that resolvers take."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    return getattr(address, "ipv4_mapped", None) or address
