"""Headers of all kinds on all routes."""

from __future__ import annotations

import random
from urllib.parse import quote

from tests.fuzz import calls, values
from tests.fuzz.trial import Case, Known

_NUMBERS = ("-1", "0", "1", "9" * 30, "1.5", "NaN", "", " ", "0x10", "١", "1e9", "+5", "5, 6")
_ADDRESSES = (
    "203.0.113.7", "203.0.113.7:41234", "[2001:db8::7]:443", '"[2001:db8::7]"', "for=192.0.2.1",
    "::ffff:127.0.0.1",
    "unknown", "_hidden", "203.0.113.7, 10.0.0.1", ",,,", "fe80::1%eth0", "999.1.1.1", "1" * 5000, "a," * 2000,
    "2001:db8::7", "127.0.0.1", "\xff", "0x7f.1", "203.0.113.7;for=1", "localhost",
)  # fmt: skip
HEADERS: dict[str, tuple[str, ...]] = {
    "x-forwarded-for": _ADDRESSES,
    "forwarded": tuple(f"for={address};proto=https" for address in _ADDRESSES),
    "x-real-ip": _ADDRESSES,
    "x-forwarded-proto": ("https", "http", "javascript", ""),
    "x-forwarded-host": ("evil.example", "\xff", "a" * 5000, ""),
    "x-forwarded-prefix": ("/a", "//evil", "../", "\xff"),
    "accept": (
        "*/*",
        "text/event-stream",
        "application/json;q=0",
        "a/b" * 2000,
        ";q=1",
        "text/html,*/*;q=NaN",
        "\xff",
        "",
    ),
    "accept-encoding": ("gzip", "br;q=9", "identity;q=0", "*", "zstd"),
    "accept-language": ("de", "\xff", "x" * 5000),
    "prefer": (
        "wait=0",
        "wait=-1",
        "wait=1e9",
        "wait=",
        "wait=NaN",
        "respond-async",
        "wait=0.01",
        'wait="0"',
        "wait=" + "9" * 400,
    ),
    "last-event-id": _NUMBERS,
    "idempotency-key": ("k", "", "k" * 255, "k" * 10_000, "\xff\xfe", "a b", '"k"', "k\x7f", "ключ", "\t"),
    "authorization": (
        "Bearer",
        "Bearer ",
        "Bearer x",
        "bearer rl_x",
        "Basic eDp5",
        "Bearer " + "x" * 10_000,
        "\xff",
        "Bearer a b",
        "",
    ),
    "content-type": (
        "text/plain",
        "application/json; charset=utf-16",
        "multipart/form-data",
        "application/json;;;",
        "\xff",
        "",
        "a" * 5000,
    ),
    "content-encoding": ("gzip", "br", "nothing", "gzip, gzip"),
    "content-length": ("0", "-1", "+5", "5, 5", "9" * 30, "1e3", "", "0x5", "99999999"),
    "transfer-encoding": ("chunked", "gzip, chunked", "identity", "xchunked", "chunked, chunked"),
    "expect": ("100-continue", "nothing"),
    "host": ("", "evil.example", "[::1", "a:b:c", "a" * 5000, "\xff", "127.0.0.1:0"),
    "range": ("bytes=0-", "bytes=-1", "bytes=9-1", "lines=0-5", "bytes=0-1,2-3" * 100),
    "if-none-match": ("*", '"x"', "W/", "\xff"),
    "if-modified-since": ("Fri, 31 Dec 9999 23:59:59 GMT", "soon", "\xff"),
    "connection": ("close", "keep-alive", "upgrade", "close, close", "host"),
    "upgrade": ("websocket", "h2c", "\xff"),
    "cookie": ("a=b", "\xff" * 100, "a" * 5000),
    "origin": ("null", "https://evil.example", "\xff"),
    "te": ("trailers", "\xff"),
    "traceparent": ("00-" + "0" * 32 + "-" + "0" * 16 + "-00", "\xff", "0" * 5000),
    "x-request-id": ("a\x00b", "\x1b[31m", "x" * 5000, "é", '{"a":1}'),
    "user-agent": ("\x1b]0;x\x07", "", "u" * 5000, "\u202e".encode().decode("latin-1")),
}
#: Headers that change how the request itself is read.
FRAMING = ("content-length", "transfer-encoding", "host", "connection", "upgrade", "expect", "content-encoding")
_HARMLESS = [name for name in HEADERS if name not in FRAMING]
_ROUTES = (
    ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/"),
    ("GET", "/v1/runs"),
    ("GET", "/v1/runs/{run}"), ("GET", "/v1/runs/{run}/steps"), ("GET", "/v1/runs/{run}/timeline"),
    ("GET", "/v1/runs/{run}/document"), ("GET", "/v1/runs/{run}/events"), ("GET", "/v1/changes"), ("GET",
    "/v1/stats"),
    ("GET", "/v1/export"), ("GET", "/v1/deliveries"), ("GET", "/v1/jobs"), ("GET", "/v1/jobs/causes"),
    ("POST", "/v1/bulk"), ("GET", "/v1/bulk"), ("GET", "/v1/views"), ("POST", "/v1/views"),
    ("POST", "/v1/runs"), ("POST", "/v1/watch"), ("POST", "/v1/sql"), ("POST", "/v1/runs/{run}/refresh"),
    ("POST", "/v1/runs/{run}/cancel"), ("POST", "/v1/jobs/retry"), ("POST", "/webhooks/case"), ("GET",
    "{callback}"),
    ("POST", "{callback}"), ("OPTIONS", "/v1/runs"), ("HEAD", "/v1/runs"), ("TRACE", "/"), ("DELETE",
    "/v1/runs/{run}"),
)  # fmt: skip


def draw(rng: random.Random, known: Known) -> Case:
    """Draw a request of any route, with hostile headers."""
    method, path = rng.choice(_ROUTES)
    target = path.format(run=rng.choice(known.runs), callback=rng.choice(known.callbacks)).encode()
    given = some(rng)
    names = {name for name, _ in given}
    own = () if b"authorization" in names else (known.auth,)
    body = b'{"agentId":"%s","prompt":"x"}' % known.agent.encode() if target == b"/v1/runs" else b"{}"
    return Case(
        calls.Request(
            method,
            target,
            (*own, *given),
            body if method == "POST" else b"",
            "submission" if (method, path) == ("POST", "/v1/runs") else "any",
            sound=are_sound(given) and method != "TRACE",
        )
    )


def some(rng: random.Random) -> calls.Headers:
    """Return a few hostile headers."""
    return tuple(_one(rng, name) for name in values.some(rng, list(HEADERS), 1, 4))


def harmless(rng: random.Random) -> calls.Headers:
    """Return a few hostile headers that do not change how a request is parsed."""
    return tuple(
        each for each in (_one(rng, name) for name in values.some(rng, _HARMLESS, 1, 3)) if are_sound((each,))
    )


def _one(rng: random.Random, name: str) -> tuple[bytes, bytes]:
    return name.encode(), rng.choice(HEADERS[name]).encode("latin-1" if rng.random() < 0.5 else "utf-8", "replace")


def are_sound(given: calls.Headers) -> bool:
    """Return whether an HTTP server must answer a request with these headers."""
    is_framed = any(name.decode() in FRAMING for name, _ in given)
    return not is_framed and all(
        (byte >= 0x20 and byte != 0x7F) or byte == 9 for _, value in given for byte in value
    )


def quoted(text: str) -> bytes:
    """Return a text percent-encoded for an address; surrogates become bytes that are not UTF-8."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="").encode()


def printable(rng: random.Random) -> bytes:
    """Return a few printable characters."""
    return bytes(rng.randrange(0x21, 0x7F) for _ in range(rng.choice((1, 44, 500))))
