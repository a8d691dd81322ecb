"""Fetch what a server serves of its ledger: bounded in size and time. Python's library alone."""

from __future__ import annotations

import http.client
import ipaddress
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

#: Returns at most so many bytes and one more of what is served at a path; None where nothing is.
Fetch = Callable[[str, int], "bytes | None"]
#: Seconds without a byte, and for a whole answer; how often a request is tried, and the seconds in between.
SILENT, WHOLE, TRIES, PAUSE = 15.0, 60.0, 3, 0.5
_AGAIN = (429, 502, 503, 504)


class NotServed(Exception):
    """The server cannot be asked, or does not answer."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follow no redirect: the key would go along to another server."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Client:
    """A client of the server at an address. `key` is an API key."""

    def __init__(self, url: str, key: str | None = None, *, silent: float = SILENT, whole: float = WHOLE) -> None:
        self._url = _checked(url, key)
        self._headers = {"User-Agent": "runledger-verify"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._silent, self._whole = silent, whole
        self._opener = urllib.request.build_opener(_NoRedirects)

    def fetch(self, path: str, most: int) -> bytes | None:
        """Return at most `most` bytes and one more; None where the server has nothing there. Raises NotServed."""
        for last in (*[False] * (TRIES - 1), True):
            try:
                return self._fetch(f"{self._url}/v1/ledger/{path}", most)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code == http.HTTPStatus.NOT_FOUND:
                        return None
                    if last or error.code not in _AGAIN:
                        raise NotServed(_refusal(path, error.code)) from None
            except (OSError, http.client.HTTPException) as error:
                if last:
                    raise NotServed(f"{path} cannot be fetched from {self._url}: {_reason(error)}") from None
            time.sleep(PAUSE)
        raise AssertionError("the last try returns or raises")

    def _fetch(self, address: str, most: int) -> bytes:
        end, parts, size = time.monotonic() + self._whole, list[bytes](), 0
        request = urllib.request.Request(address, headers=self._headers)
        with self._opener.open(request, timeout=self._silent) as answer:
            while size <= most and (part := answer.read1(most + 1 - size)):
                parts.append(part)
                size += len(part)
                if time.monotonic() > end:
                    raise TimeoutError(f"no whole answer within {self._whole:g} seconds")
        return b"".join(parts)


def _checked(url: str, key: str | None) -> str:
    """Return an address without its last slash. Raises NotServed for one that is not asked."""
    try:
        parts = urllib.parse.urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        is_whole = False
    if not is_whole or parts.query or parts.fragment or parts.username or not url.isascii() or " " in url:
        raise NotServed("the address must be that of a server, such as https://runs.example.com")
    if key is not None and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise NotServed("a key is sent over https alone, or to this machine")
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise NotServed("the file has no API key")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refusal(path: str, status: int) -> str:
    if status in (401, 403):
        return "the ledger is not open to everybody: name a file with an API key of scope read (--key)"
    if 300 <= status < 400:
        return f"the server answers {status} for {path}: give the address that it leads to"
    return f"the server answers {status} for {path}"


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(cause) or type(cause).__name__
