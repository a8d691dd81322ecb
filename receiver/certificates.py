"""What certificates of others are checked with."""

from __future__ import annotations

import functools
import ssl

import httpx2 as httpx


@functools.cache
def context() -> ssl.SSLContext:
    """Return the TLS context of all clients of this process: reading the authorities takes 30 ms."""
    return httpx.create_ssl_context(trust_env=False)
