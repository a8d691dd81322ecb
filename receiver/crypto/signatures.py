"""Signing and verifying by the scheme of Standard Webhooks, for platform events under Case.dev's own header names.

The signature header contains `v1,<base64 of HMAC-SHA256 over id.timestamp.body>`, several of them separated by a
space while a secret is being rotated (https://www.standardwebhooks.com).
"""

from __future__ import annotations

import base64
import dataclasses
import email.utils
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from receiver import errors
from receiver.crypto import pasted_secrets

ID_HEADER = "case-webhook-id"
TIMESTAMP_HEADER = "case-webhook-timestamp"
SIGNATURE_HEADER = "case-webhook-signature"
ENCODINGS = ("base64", "hex", "raw")
TOLERANCE = 300  # seconds

_PREFIX = "whsec_"
#: The prefixes of header names under which a signature may come.
_FAMILIES = ("case-webhook", "webhook", "svix")
_NAMES = [(f"{family}-id", f"{family}-timestamp", f"{family}-signature") for family in _FAMILIES]
HEADERS = frozenset(name for names in _NAMES for name in names)
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
#: The least numbers that are nano-, micro-, milliseconds. Seconds reach the last one in the year 5138.
_DIVISORS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
_LONGEST_DATE = 64
#: Ids and timestamps as Case.dev sends them, which have one reading, and a header with one signature.
_PLAIN = re.compile(r"[!-+\--~]+")
_SINGLE = re.compile(r"v1,([A-Za-z0-9+/]{43})=")
_APART = re.compile(r"[\s,;]+")
_OURS = "v1"
#: The characters of 32 bytes in base64 and in hex.
_BASE64, _HEX = 43, 64
_LENGTHS = (_BASE64, _HEX)
_URLSAFE = str.maketrans("-_", "+/")


@dataclasses.dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret; `name` is a label for records, which does not reveal the key."""

    name: str
    key: bytes = dataclasses.field(repr=False)


class Verified(msgspec.Struct, frozen=True):
    """The facts that a valid signature proves. `timestamp` is in Unix seconds, `secret` names the matching one."""

    delivery_id: str
    timestamp: int
    secret: str


def decode(text: str, encoding: str = "base64") -> Secret:
    """Return the secret that `text` spells, after an optional `whsec_`, in one of `ENCODINGS`.

    Raises ShortSecret for a key that can be guessed, SettingsError where it does not decode; the message never
    contains the text.
    """
    remedy = "copy it as shown at its creation, or change RUNLEDGER_WEBHOOK_KEY_ENCODING"
    return _secret(text, encoding, "RUNLEDGER_WEBHOOK_SECRETS", remedy)


def decode_notify_secret(text: str) -> Secret:
    """Return the secret that `text` of RUNLEDGER_NOTIFY_SECRETS spells: base64 after `whsec_`.

    Raises ShortSecret, SettingsError.
    """
    return _secret(text, "base64", "RUNLEDGER_NOTIFY_SECRETS", 'make one: echo "whsec_$(openssl rand -base64 32)"')


def _secret(text: str, encoding: str, setting: str, remedy: str) -> Secret:
    spelled = text.strip().removeprefix(_PREFIX)
    try:
        key = _decoded(spelled, encoding)
    except ValueError:
        raise errors.SettingsError(f"{setting} holds a secret that is not {encoding}; {remedy}") from None
    if len(key) < pasted_secrets.MIN_BYTES:
        raise errors.ShortSecret(setting, len(key), pasted_secrets.MIN_BYTES, remedy)
    return Secret(hashlib.sha256(key).hexdigest()[:8], key)


def _decoded(text: str, encoding: str) -> bytes:
    if encoding == "base64":
        plain = text.rstrip("=").translate(_URLSAFE)
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    if encoding == "hex":
        return bytes.fromhex(text)
    if encoding == "raw":
        return text.encode()
    raise errors.SettingsError(f"RUNLEDGER_WEBHOOK_KEY_ENCODING must be one of {', '.join(ENCODINGS)}")


def sign(key: bytes, delivery_id: str, timestamp: str, body: bytes) -> str:
    """Return one value of the signature header. Id and timestamp must be valid header text."""
    mac = hmac.new(key, f"{delivery_id}.{timestamp}.".encode(), hashlib.sha256)
    mac.update(body)
    return "v1," + base64.b64encode(mac.digest()).decode("ascii")


class SignatureHeaders(msgspec.Struct, frozen=True):
    """The signature headers of a request, unchanged; None for a missing header."""

    delivery_id: str | None
    timestamp: str | None
    signature: str | None


def signature_headers(headers: Mapping[str, str]) -> SignatureHeaders:
    """Return the signature headers of the first family of names that has a signature. Names are in lower case.

    Case.dev's own names come first, then those of Standard Webhooks and of Svix, whose services sign many
    webhooks.
    """
    id_name, time_name, name = next((names for names in _NAMES if names[2] in headers), _NAMES[0])
    return SignatureHeaders(headers.get(id_name), headers.get(time_name), headers.get(name))


class Check:
    """The check of a signature over a body that comes in pieces, of which none is stored."""

    def __init__(self, claimed: SignatureHeaders, secrets: Sequence[Secret]) -> None:
        self._values = _values(claimed.signature)
        heads = _heads(claimed) if self._values else []
        self._macs = [
            (secret, head, hmac.new(secret.key, head.signed, hashlib.sha256))
            for head in heads
            for secret in secrets
        ]

    def update(self, piece: bytes) -> None:
        for _, _, mac in self._macs:
            mac.update(piece)

    def verified(self, now: float) -> Verified:
        """Return what the headers prove about the body so far; `now` is in Unix seconds.

        Raises BadSignature for anything that does not verify, whatever the bytes, and OutsideTolerance only where
        the signature does verify.
        """
        if not self._values:
            raise errors.BadSignature(f"no usable {SIGNATURE_HEADER}")
        matched = [(secret, head) for secret, head, mac in self._macs if _holds(mac.digest(), self._values)]
        if not matched:
            raise errors.BadSignature("no value matches any of our secrets")
        secret, head = matched[0]
        at = seconds(head.timestamp)
        if at is None or not abs(now - at) <= TOLERANCE:
            skew = None if at is None else round(abs(now - at))
            raise errors.OutsideTolerance(skew, secret.name, head.delivery_id)
        return Verified(head.delivery_id, int(at), secret.name)


def seconds(timestamp: str) -> float | None:
    """Return the Unix seconds of a signed timestamp, or None where its form is unknown.

    Seconds, milli-, micro- and nanoseconds are distinguished by their size; a date may be in the form of ISO 8601
    or HTTP.

    >>> [seconds(each) for each in ("1795435200", " 1795435200123", "2026-11-23T12:00:00Z", "soon")]
    [1795435200.0, 1795435200.123, 1795435200.0, None]
    """
    text = timestamp[:_LONGEST_DATE].strip(" \t\"'")
    if _NUMBER.fullmatch(text):
        number = float(text)
        return number / next((divisor for least, divisor in _DIVISORS if number >= least), 1)
    for read in (datetime.fromisoformat, email.utils.parsedate_to_datetime):
        try:
            at = read(text)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError, IndexError):
            continue
    return None


class _Head(msgspec.Struct, frozen=True):
    """One reading of the headers, and the bytes that are signed before the body."""

    delivery_id: str
    timestamp: str
    signed: bytes


def _heads(claimed: SignatureHeaders) -> list[_Head]:
    """Return the ways to read id and timestamp: as received, and without a repeat that a proxy has joined.

    Text that is not ASCII may have been signed as Latin-1 or as UTF-8.
    """
    delivery_id, timestamp = claimed.delivery_id or "", claimed.timestamp or ""
    if _PLAIN.fullmatch(delivery_id) and _PLAIN.fullmatch(timestamp):
        return [_Head(delivery_id, timestamp, f"{delivery_id}.{timestamp}.".encode())]
    ids, times = _spellings(claimed.delivery_id), _spellings(claimed.timestamp)
    heads: dict[bytes, _Head] = {}
    for at in range(max(len(ids), len(times))):  # not all pairs: each reading costs a hash of the body
        delivery_id, timestamp = ids[min(at, len(ids) - 1)], times[min(at, len(times) - 1)]
        text = f"{delivery_id}.{timestamp}."
        for encoding in ("latin-1", "utf-8"):
            signed = text.encode(encoding, "surrogatepass" if encoding == "utf-8" else "replace")
            heads.setdefault(signed, _Head(delivery_id, timestamp, signed))
    return list(heads.values())


def _spellings(value: str | None) -> list[str]:
    text = value or ""
    first, comma, rest = text.partition(",")
    joined = [first.strip()] if comma and first.strip() == rest.strip() else []
    return list(dict.fromkeys([text, text.strip(), *joined]))


def _values(signature: str | None) -> list[bytes]:
    """Return the signatures of version 1, or without a version, in the one spelling that is compared."""
    if single := _SINGLE.fullmatch(signature or ""):
        return [single[1].encode()]
    values: dict[str, None] = {}
    version = _OURS
    for part in _APART.split(signature or ""):
        text = part.strip("\"'")
        label, _, behind = text.partition("=")
        if pasted_secrets.VERSION.fullmatch(label):
            version, text = label.lower(), behind
        if value := text.rstrip("="):
            if version == _OURS and len(value) in _LENGTHS:
                values[value] = None
            version = _OURS
    spelled = (part.translate(_URLSAFE) if len(part) == _BASE64 else part.lower() for part in values)
    return [part.encode("utf-8", "surrogatepass") for part in spelled]


def is_usable(signature: str) -> bool:
    """Return whether a signature header has a value that can be compared."""
    return bool(_values(signature))


def _holds(digest: bytes, values: list[bytes]) -> bool:
    # Encoded forms are compared, so that nothing from the sender is decoded; all of them, so that the time taken
    # reveals nothing.
    expected = (base64.b64encode(digest).rstrip(b"="), digest.hex().encode())
    return True in [hmac.compare_digest(each, value) for value in values for each in expected]


def demand_usable(
    secrets: Sequence[str],
    decode: Callable[[str], Secret],
    refused: type[errors.SettingsError],
    named: str = "",
) -> None:
    """Raise ValueError for the first secret that `decode` refuses with that error.

    A secret of platform events that does not decode is no reason to refuse the start: the others verify, and the
    server reports it.
    """
    for place, secret in enumerate(secrets, 1):
        try:
            decode(secret)
        except refused as unusable:
            raise ValueError(f"{unusable} (it is number {place}{named})") from None
        except errors.SettingsError:
            continue
