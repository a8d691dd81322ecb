"""Signing and verifying: the scheme of Standard Webhooks, for platform events under Case.dev's own header names.

The signature header holds `v1,<base64 of HMAC-SHA256 over id.timestamp.body>`, several of them separated by a
space while a secret is being rotated (https://www.standardwebhooks.com).
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import re
from collections.abc import Sequence

from receiver import errors

ID_HEADER = "case-webhook-id"
TIMESTAMP_HEADER = "case-webhook-timestamp"
SIGNATURE_HEADER = "case-webhook-signature"
ENCODINGS = ("base64", "hex", "raw")
TOLERANCE = 300  # seconds

_PREFIX = "whsec_"
_ID = re.compile(r"[\x21-\x7e]{1,256}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_LONGEST_HEADER = 4096
_MOST_VALUES = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret; `name` is a label for records, from which the key cannot be told."""

    name: str
    key: bytes = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Verified:
    """What a valid signature vouches for: `timestamp` in Unix seconds, `secret` the name of the one that held."""

    delivery_id: str
    timestamp: int
    secret: str


def decode(text: str, encoding: str = "base64") -> Secret:
    """The secret that `text` spells, after `whsec_` where it begins so, in one of `ENCODINGS`.

    Raises SettingsError where it does not decode; the message never shows the text.
    """
    remedy = "copy it as shown at its creation, or change RUNLEDGER_WEBHOOK_KEY_ENCODING"
    return _secret(text, encoding, "RUNLEDGER_WEBHOOK_SECRETS", remedy)


def decode_own(text: str) -> Secret:
    """The secret that `text` of RUNLEDGER_NOTIFY_SECRETS spells: base64 after `whsec_`. Raises SettingsError."""
    return _secret(text, "base64", "RUNLEDGER_NOTIFY_SECRETS", 'make one: echo "whsec_$(openssl rand -base64 32)"')


def _secret(text: str, encoding: str, setting: str, remedy: str) -> Secret:
    held = text.strip().removeprefix(_PREFIX)
    try:
        key = _decoded(held, encoding)
    except ValueError:
        raise errors.SettingsError(f"{setting} holds a secret that is not {encoding}; {remedy}") from None
    if not key:
        raise errors.SettingsError(f"{setting} holds an empty secret; {remedy}")
    return Secret(hashlib.sha256(key).hexdigest()[:8], key)


def _decoded(held: str, encoding: str) -> bytes:
    if encoding == "base64":
        return base64.b64decode(held + "=" * (-len(held) % 4), validate=True)
    if encoding == "hex":
        return bytes.fromhex(held)
    if encoding == "raw":
        return held.encode()
    raise errors.SettingsError(f"RUNLEDGER_WEBHOOK_KEY_ENCODING must be one of {', '.join(ENCODINGS)}")


def sign(key: bytes, delivery_id: str, timestamp: str, body: bytes) -> str:
    """One value of the signature header, for text that can stand in a header and the raw bytes of a body."""
    mac = hmac.new(key, f"{delivery_id}.{timestamp}.".encode(), hashlib.sha256)
    mac.update(body)
    return "v1," + base64.b64encode(mac.digest()).decode("ascii")


def verify(
    body: bytes,
    delivery_id: str | None,
    timestamp: str | None,
    signature: str | None,
    secrets: Sequence[Secret],
    now: float,
    tolerance: int = TOLERANCE,
) -> Verified:
    """What the three headers vouch for over the raw `body`; `now` and `tolerance` are in seconds.

    Raises BadSignature for anything that does not hold, whatever the bytes, and OutsideTolerance only where
    the signature does hold.
    """
    if delivery_id is None or _ID.fullmatch(delivery_id) is None:
        raise errors.BadSignature(f"no usable {ID_HEADER}")
    if timestamp is None or _TIMESTAMP.fullmatch(timestamp) is None:
        raise errors.BadSignature(f"no usable {TIMESTAMP_HEADER}")
    values = _values(signature)
    matched = [secret.name for secret in secrets if _holds(sign(secret.key, delivery_id, timestamp, body), values)]
    if not matched:
        raise errors.BadSignature("no value matches any of our secrets")
    skew = abs(now - int(timestamp))
    if skew > tolerance:
        raise errors.OutsideTolerance(round(skew), matched[0])
    return Verified(delivery_id, int(timestamp), matched[0])


def _values(signature: str | None) -> list[bytes]:
    """The first `v1` values of the header; other schemes are passed over."""
    if signature is None or len(signature) > _LONGEST_HEADER:
        raise errors.BadSignature(f"no usable {SIGNATURE_HEADER}")
    values = [value for value in signature.split(" ") if value.startswith("v1,")]
    return [value.encode("utf-8", "surrogatepass") for value in values[:_MOST_VALUES]]


def _holds(expected: str, values: list[bytes]) -> bool:
    # Encoded forms are compared, so that nothing of the sender's is ever decoded; every one of them, so that the
    # time taken tells nothing.
    return True in [hmac.compare_digest(expected.encode("ascii"), value) for value in values]
