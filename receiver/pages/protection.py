"""The headers that protect a page: what it may load, run, and be framed by."""

from __future__ import annotations

from starlette.responses import Response

_PAGE = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types htmx"
)
#: Any other response is a file that others wrote: it must run nothing.
_FILE = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
_ALWAYS = {
    # One address answers with a page or a part of it: going back must not show the part.
    "vary": "hx-request",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def protect(response: Response, nonce: str) -> None:
    """Add the headers to a response. A page runs the scripts with its nonce alone, and nothing of another host."""
    is_page = response.media_type == "text/html"
    response.headers.setdefault("content-security-policy", _PAGE.format(nonce=nonce) if is_page else _FILE)
    response.headers.setdefault("cache-control", "private, no-cache")
    for name, value in _ALWAYS.items():
        response.headers.setdefault(name, value)
