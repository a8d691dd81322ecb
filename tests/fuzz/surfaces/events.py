"""Signed events: genuine ones in every spelling of headers and body, which must not be lost, and forged ones."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import time

from tests.fuzz import calls
from tests.fuzz.surfaces import callbacks, headers
from tests.fuzz.trial import SECRET, Case, Known

KEY = base64.b64decode(SECRET.removeprefix("whsec_"))
EVENTS = b"/webhooks/case"
_PATHS = (b"/webhooks/case/", b"/webhooks/case?x=1", b"//webhooks/case", b"/webhooks//case")
_SIGNED = (b"case-webhook-id", b"case-webhook-timestamp", b"case-webhook-signature")


#: What may be unusual in an event. One thing at a time, so that a failure shows which.
_ODD = ("", "id", "timestamp", "timestamp", "signature", "path", "headers")


def draw(rng: random.Random, known: Known) -> Case:
    """Draw one event, genuine more often than not."""
    odd, is_genuine = rng.choice(_ODD), rng.random() < 0.65
    body = callbacks.body(rng, known)
    delivery, what_id = _delivery(rng) if odd == "id" else (b"dlv_%016x" % rng.getrandbits(64), "")
    moment, what_moment = _moment(rng) if odd == "timestamp" else (b"%d" % time.time(), "")
    value, what_value = _signature(rng, delivery, moment, body, odd == "signature")
    if not is_genuine:
        value, what_value = _forged(rng, delivery, moment, body)
    path = rng.choice(_PATHS) if odd == "path" else EVENTS
    what_path = "" if path == EVENTS else f"path {path.decode()}"
    extra = headers.harmless(rng) if odd == "headers" else ()
    size = "more than a mebibyte" if len(body) > 1 << 20 else ""
    request = calls.Request(
        "POST",
        path,
        (*extra, *zip(_names(rng), (delivery, moment, value), strict=True)),
        body,
        "genuine" if is_genuine else "forged",
        size or what_id or what_moment or what_value or what_path or odd or "plain",
        framing=rng.choice(("length", "length", "chunked")),
    )
    return Case(request)


def _names(rng: random.Random) -> tuple[bytes, ...]:
    return rng.choice((_SIGNED, tuple(name.title() for name in _SIGNED), tuple(name.upper() for name in _SIGNED)))


def _delivery(rng: random.Random) -> tuple[bytes, str]:
    """Return the delivery's id."""
    kind = rng.choice(("dots", "300 characters", "a blank inside", "Latin-1", "empty", "comma", "UTF-8", "quotes"))
    made = {
        "dots": b"a.b.c", "300 characters": b"d" * 300, "a blank inside": b"dlv 1", "Latin-1": b"dlv_\xe9",
        "empty": b"", "comma": b"a,b", "UTF-8": "dlv_é\u0301".encode(), "quotes": b'"dlv"',
    }  # fmt: skip
    return made[kind], f"id: {kind}"


def _moment(rng: random.Random) -> tuple[bytes, str]:
    """Return the timestamp that is signed."""
    now = int(time.time())
    made = {
        "milliseconds": b"%d" % (now * 1000 + 123),
        "a fraction": b"%d.5" % now, "nanoseconds": b"%d" % (now * 10**9),
        "a sign": b"+%d" % now, "zeros in front": b"000%d" % now, "a date": b"2026-11-25T10:00:00Z",
        "words": b"soon",
        "long ago": b"1", "a minute ago": b"%d" % (now - 60), "an hour ahead": b"%d" % (now + 3600), "empty": b"",
        "exponent": b"1.7e9", "negative": b"-%d" % now, "4,000 digits": b"9" * 4000, "other digits": "١٢".encode(),
        "two of them": b"%d, %d" % (now, now), "16 decimals": b"%d.%s" % (now, b"3" * 16),
    }  # fmt: skip
    kind = rng.choice(list(made))
    return made[kind], f"timestamp: {kind}"


def _signature(rng: random.Random, delivery: bytes, moment: bytes, body: bytes, is_odd: bool) -> tuple[bytes, str]:
    """Return a genuine value of the header."""
    good = _signed(KEY, delivery, moment, body)
    made = {
        "others beside": b"v1,bm90aGluZw== " * 9 + good, "another scheme beside": b"v1a,abc " + good + b" v2,x",
        "blanks": b"  " + good + b"   ",
    }  # fmt: skip
    kind = rng.choice(list(made))
    return (made[kind], f"signature: {kind}") if is_odd else (good, "")


def _forged(rng: random.Random, delivery: bytes, moment: bytes, body: bytes) -> tuple[bytes, str]:
    """Return a value that is signed with another key, over other bytes, or not at all."""
    good = _signed(KEY, delivery, moment, body)
    made = {
        "another key": _signed(b"k" * 32, delivery, moment, body),
        "another body": _signed(KEY, delivery, moment, body + b" "),
        "nothing": b"", "garbage": b"v1," + headers.printable(rng), "cut": good[:-6],
        "a short key": _signed(rng.choice((b"", b"\xbf", b"v1")), delivery, moment, body),
    }  # fmt: skip
    kind = rng.choice(list(made))
    return made[kind], f"forged: {kind}"


def _signed(key: bytes, delivery: bytes, moment: bytes, body: bytes) -> bytes:
    mac = hmac.new(key, delivery + b"." + moment + b"." + body, hashlib.sha256)
    return b"v1," + base64.b64encode(mac.digest())
