"""Signatures of platform events: Standard Webhooks under the service's own header names.

`case-webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `<delivery id>.<unix seconds>.<body>`; where
several secrets sign, their signatures stand side by side, separated by a space.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence


def signing_key(secret: str, encoding: str) -> bytes:
    """The key that a `whsec_` secret holds, in one of `faults.ENCODINGS`."""
    held = secret.removeprefix("whsec_")
    if encoding == "hex":
        return bytes.fromhex(held)
    return base64.b64decode(held) if encoding == "base64" else held.encode()


def signature(key: bytes, delivery: str, timestamp: str, body: bytes) -> str:
    """One value of the signature header: `v1,<base64>`."""
    mac = hmac.new(key, f"{delivery}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


def headers(keys: Sequence[bytes], delivery: str, at: float, body: bytes) -> dict[str, str]:
    """The headers of an event that is sent `at` (seconds since 1970), signed with each of the keys in turn."""
    timestamp = str(int(at))
    return {
        "case-webhook-id": delivery,
        "case-webhook-timestamp": timestamp,
        "case-webhook-signature": " ".join(signature(key, delivery, timestamp, body) for key in keys),
    }
