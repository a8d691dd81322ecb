"""Callbacks at addresses that the server issued, and at others."""

from __future__ import annotations

import json
import random

from tests.fuzz import calls, values
from tests.fuzz.surfaces import headers
from tests.fuzz.trial import Case, Known


def draw(rng: random.Random, known: Known) -> Case:
    """Draw one callback. Only an unchanged address must be accepted."""
    target = rng.choice(known.callbacks).encode()
    expects = "any"
    if rng.random() < 0.35:
        target, expects = _forged(target, rng), "forged"
    extra = headers.some(rng) if rng.random() < 0.4 else ()
    return Case(
        calls.Request(
            "POST" if rng.random() < 0.95 else rng.choice(("GET", "HEAD", "PUT", "OPTIONS", "BREW")),
            target,
            extra,
            body(rng, known),
            "any" if expects == "forged" and target in map(str.encode, known.callbacks) else expects,
            sound=headers.are_sound(extra) and is_sound(target),
            framing=rng.choice(("length", "length", "chunked")),
        )
    )


def _forged(target: bytes, rng: random.Random) -> bytes:
    """Return an address that was not issued."""
    at = rng.randrange(len(b"/callbacks/"), len(target))
    kind = rng.choice(("changed", "cut", "longer", "hostile", "empty", "other", "swapped"))
    if kind == "changed":
        return target[:at] + (b"A" if target[at : at + 1] != b"A" else b"B") + target[at + 1 :]
    if kind == "cut":
        return target[:at]
    if kind == "longer":
        return target + rng.choice((b"A", b".A", b"%00", b"/x", b"%2e", b"==", b"A" * 50_000))
    if kind == "hostile":
        return b"/callbacks/" + headers.quoted(values.short_text(rng)[1])
    if kind == "swapped":
        run, _, rest = target.rpartition(b".")
        return run[::-1] + b"." + rest
    return b"/callbacks/" + (b"" if kind == "empty" else rng.randbytes(30).hex().encode())


def is_sound(target: bytes) -> bool:
    """Return whether an HTTP server must be able to parse a target."""
    return len(target) < 8000 and all(0x20 < byte < 0x7F for byte in target)


def body(rng: random.Random, known: Known) -> bytes:
    """Return a body that a callback or an event might have."""
    draw = rng.random()
    if draw < 0.15:
        return rng.choice(
            (b"", b"null", b"[]", b"{", b"\xff\xfe", b"\x00" * 100, b"\xef\xbb\xbf{}", rng.randbytes(200))
        )
    named = rng.choice((*known.upstream, *known.runs, "run_elsewhere"))
    fields = {
        "runId": named,
        "status": rng.choice(("completed", "failed", "running")),
        "id": f"evt_{rng.getrandbits(64):x}",
    }
    whole = {**fields, "type": "agent.run.completed", "data": dict(fields), "run": dict(fields), "run_id": named}
    for name in values.some(rng, list(whole), 0, 3):
        whole[name] = values.drawn(rng)[1]
    if draw < 0.25:
        return values.encoded({"data": values.drawn(rng, values.STRUCTURES)[1], **fields})
    if draw < 0.28:
        return b'{"padding":"' + b"x" * (3 << 20) + b'",' + json.dumps(fields).encode()[1:]
    return values.encoded(whole, ascii_only=rng.random() < 0.6)
