"""Mutations of a valid answer of the upstream: its fields, bytes, status, headers, timing.

A change is drawn from a generator of its own, so that one answer and one seed always give the same bytes.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from tests.fuzz import values

#: The errors of changing an answer that an earlier change has made unreadable: it is left as it is.
UNREADABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)
Path = tuple[str | int, ...]
#: Seconds of a slow answer, and bytes of a decompressed answer.
SLOW = 1.5
UNFOLDED = 96 << 20


@dataclass(frozen=True)
class Answer:
    """An answer to be sent. `framing` is how its end is marked: length, wrong length, chunked, close or cut."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    framing: str = "length"
    seconds: float = 0.0
    done: tuple[str, ...] = field(default=())

    def noted(self, what: str, **changes: Any) -> Answer:
        """Return the changed answer, with a note of the change."""
        return replace(self, done=(*self.done, what), **changes)


def changed(answer: Answer, route: str, seed: int, *, times: int) -> Answer:
    """Return the answer with this many changes."""
    rng = random.Random(seed)
    for _ in range(times):
        with suppress(*UNREADABLE):
            answer = rng.choices(*_choices(route))[0](answer, route, rng)
    return answer


def _choices(route: str) -> tuple[list[Callable[[Answer, str, random.Random], Answer]], list[int]]:
    if route == "events":
        return [_stream, _bytes, _headers, _status, _timing], [12, 2, 1, 1, 1]
    if route == "list":
        return [_fields, _page, _bytes, _headers, _status, _timing], [8, 8, 2, 2, 1, 1]
    return [_fields, _bytes, _headers, _status, _timing], [14, 3, 2, 1, 1]


def _fields(answer: Answer, route: str, rng: random.Random) -> Answer:
    """Change one field of a JSON answer."""
    whole = json.loads(answer.body)
    path = rng.choice(list(_paths(whole)))
    what, whole = _one_field(whole, path, rng)
    body = values.encoded(whole, ascii_only=rng.random() < 0.5)
    return answer.noted(f"{'.'.join(map(str, path))}: {what}", body=body)


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Return all paths in a document but its root; of a long list only its beginning."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value[:20]) if isinstance(value, list) else ()
    )
    for name, member in members:
        yield (*path, name)
        yield from _paths(member, (*path, name))


def _one_field(whole: Any, path: Path, rng: random.Random) -> tuple[str, Any]:
    parent = whole
    for name in path[:-1]:
        parent = parent[name]
    name, held = path[-1], parent[path[-1]]
    draw = rng.random()
    if draw < 0.1:
        del parent[name]
        return "dropped", whole
    if draw < 0.15 and isinstance(name, str):
        return "twice", _twice(whole, parent, name, rng)
    if draw < 0.3 and isinstance(held, list) and held:
        parent[name] = held * (10_000 // len(held))
        return "10,000 items", whole
    kind, parent[name] = values.drawn(rng, *_families(name, held, rng))
    return kind, whole


def _families(name: str | int, held: Any, rng: random.Random) -> tuple[dict[str, values.Maker], ...]:
    """Return the families of values for such a field: mostly of its own type, and sometimes any."""
    if rng.random() < 0.25:
        return ()
    if isinstance(name, str) and (name.endswith("At") or name in ("timestamp", "expires")):
        return (values.INSTANTS,)
    if isinstance(held, str):
        return (values.TEXTS,)
    if isinstance(held, int | float):
        return (values.NUMBERS,)
    return (values.TEXTS, values.STRUCTURES)


def _twice(whole: Any, parent: dict[str, Any], name: str, rng: random.Random) -> Any:
    """Return the object that has the field with the field twice, the second time with another value."""
    pairs = values.Pairs((*parent.items(), (name, values.drawn(rng)[1])))
    if parent is whole:
        return pairs
    return _replaced(whole, parent, pairs)


def _replaced(value: Any, old: Any, new: Any) -> Any:
    if value is old:
        return new
    if isinstance(value, dict):
        return {name: _replaced(member, old, new) for name, member in value.items()}
    return [_replaced(member, old, new) for member in value] if isinstance(value, list) else value


def _page(answer: Answer, route: str, rng: random.Random) -> Answer:
    """Change what only a list has: its entries as a whole, and its paging."""
    page = json.loads(answer.body)
    runs = page["runs"]
    what = rng.choice(
        ("cursor in a circle", "the same entries", "absurd entries", "duplicates", "states", "another order")
    )
    if what == "cursor in a circle":
        page |= {"hasMore": True, "nextCursor": rng.choice(("cur_A", "cur_B", *(run["id"] for run in runs[:2])))}
    elif what == "the same entries":
        page["runs"] = runs * (250 // max(1, len(runs)))
    elif what == "absurd entries":
        page["runs"] = [_entry(rng) if rng.random() < 0.5 else run for run in runs for _ in range(2)] + [
            _entry(rng)
        ]
    elif what == "duplicates":
        page["runs"] = [run | {"status": rng.choice(STATES)} for run in runs for _ in range(2)]
    elif what == "states":
        page["runs"] = [
            run | {"status": rng.choice(STATES), "createdAt": values.drawn(rng, values.INSTANTS)[1]}
            for run in runs
        ]
    else:
        rng.shuffle(runs)
    return answer.noted(what, body=values.encoded(page))


STATES = ("queued", "running", "completed", "failed", "cancelled", "unknown")


def _entry(rng: random.Random) -> Any:
    """Return a run in a list that does not exist, with a hostile value in every field or two."""
    entry: dict[str, Any] = {
        "id": f"run_{rng.getrandbits(96):024x}", "agentId": "agent_x", "status": rng.choice(STATES), "prompt": "x",
        "model": "m", "createdAt": "2026-11-25T10:00:00Z", "startedAt": None, "completedAt": None,
    }  # fmt: skip
    for name in values.some(rng, list(entry), 1, 3):
        entry[name] = values.drawn(rng, *_families(name, entry[name], rng))[1]
    return values.drawn(rng)[1] if rng.random() < 0.1 else entry


def _bytes(answer: Answer, route: str, rng: random.Random) -> Answer:
    """Change the body as bytes."""
    body = answer.body
    what = rng.choice(
        (
            "truncated",
            "empty",
            "HTML",
            "garbage",
            "byte order mark",
            "UTF-16",
            "blanks",
            "NULs",
            "a scalar",
            "bits",
        )
    )
    changes: dict[str, bytes] = {
        "truncated": body[: rng.randrange(len(body) + 1)],
        "empty": b"",
        "HTML": b"<html><body><h1>502 Bad Gateway</h1></body></html>",
        "garbage": rng.randbytes(rng.choice((1, 100, 100_000))),
        "byte order mark": b"\xef\xbb\xbf" + body,
        "UTF-16": body.decode("utf-8", "replace").encode("utf-16"),
        "blanks": b" " * 1_000_000 + body,
        "NULs": body + b"\x00" * 100,
        "a scalar": values.encoded(values.drawn(rng)[1]),
        "bits": _flipped(body, rng),
    }
    return answer.noted(what, body=changes[what])


def _flipped(body: bytes, rng: random.Random) -> bytes:
    held = bytearray(body)
    for _ in range(min(len(held), 5)):
        held[rng.randrange(len(held))] = rng.randrange(256)
    return bytes(held)


_DATES = (
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Mon, 01 Jan 0001 00:00:00 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "soon",
)
_AMOUNTS = (
    "-1",
    "0",
    "1",
    "1.5",
    "1e9",
    "9" * 400,
    "NaN",
    "inf",
    "-0",
    "",
    "0x10",
    "١٢",
    "1, 2",
    "99999999999",
    "4294967296",
)
HEADERS = {
    "retry-after": (*_AMOUNTS, *_DATES),
    "x-ratelimit-limit": _AMOUNTS,
    "x-ratelimit-remaining": _AMOUNTS,
    "x-ratelimit-reset": (*_AMOUNTS, *_DATES),
    "date": _DATES,
    "content-type": (
        "text/html",
        "",
        "application/json; charset=utf-16",
        "application/json; charset=nothing",
        "a" * 5000,
        "\xff",
    ),
    "content-encoding": ("gzip", "br", "deflate", "zstd", "nothing", "gzip, gzip", "identity"),
    "location": ("/", "http://127.0.0.1:1/", "//[", "\xff"),
    "set-cookie": ("a=b; Max-Age=99999999999", "\xff=\xfe"),
    "x-long": ("a" * 20_000, "a" * 200_000),
    "connection": ("close", "keep-alive", "upgrade"),
    "transfer-encoding": ("chunked", "gzip", "identity"),
}


def _headers(answer: Answer, route: str, rng: random.Random) -> Answer:
    """Add hostile headers; rate limit headers mostly with the statuses that go with them."""
    added = tuple((name, rng.choice(HEADERS[name])) for name in values.some(rng, list(HEADERS), 1, 3))
    status = (
        rng.choice((answer.status, 429, 503)) if any(name == "retry-after" for name, _ in added) else answer.status
    )
    shown = ", ".join(f"{name}: {value[:40]!r}" for name, value in added)
    return answer.noted(f"{status} {shown}", headers=(*answer.headers, *added), status=status)


def _status(answer: Answer, route: str, rng: random.Random) -> Answer:
    status = rng.choice(
        (
            200,
            201,
            202,
            204,
            206,
            301,
            304,
            307,
            400,
            401,
            402,
            403,
            404,
            409,
            410,
            413,
            418,
            422,
            429,
            500,
            502,
            503,
            504,
            599,
            999,
        )
    )
    return answer.noted(f"status {status}", status=status)


def _timing(answer: Answer, route: str, rng: random.Random) -> Answer:
    """Change how the answer is sent: its framing, its speed, its compression."""
    what = rng.choice(
        (
            "slow",
            "cut",
            "too long",
            "too short",
            "close",
            "chunked",
            "bad chunks",
            "compressed",
            "bomb",
            "two at once",
        )
    )
    if what == "slow":
        return answer.noted(what, seconds=SLOW)
    if what == "compressed":
        packed = gzip.compress(answer.body)
        return answer.noted(what, body=packed, headers=(*answer.headers, ("content-encoding", "gzip")))
    if what == "bomb":
        packed = gzip.compress(b'{"id":"' + b" " * UNFOLDED, 6)
        return answer.noted(what, body=packed, headers=(*answer.headers, ("content-encoding", "gzip")))
    return answer.noted(what, framing=what)


def _stream(answer: Answer, route: str, rng: random.Random) -> Answer:
    """Change one event of a stream, or insert something between two."""
    pieces = answer.body.split(b"\n\n")
    place = rng.randrange(len(pieces))
    kind, value = values.drawn(rng)
    number = rng.choice((b"-1", b"0", b"1", b"9" * 30, b"1e3", b"eleven", b"\x00", b"2147483648", b" 7 "))
    data = values.encoded(value, ascii_only=rng.random() < 0.5)
    hostile: dict[str, bytes] = {
        f"data {kind}": b"id: %d\nevent: message.updated\ndata: %s" % (place + 1, data),
        f"member {kind}": b'id: %d\nevent: message.updated\ndata: {"type":"message.updated","text":%s}'
        % (place + 1, data),
        f"id {number[:20]!r}": b'id: %s\nevent: message.updated\ndata: {"type":"message.updated"}' % number,
        "event's name": b'id: %d\nevent: %s\ndata: {"type":"x"}' % (place + 1, b"n" * 5000),
        "a long line": b"data: " + b"x" * 5_000_000,
        "a comment": b": " + b"c" * 1_000_000,
        "many lines": b"data: x\n" * 50_000,
        "carriage returns": b"id: 5\rdata: {}\r\r\rdata",
        "retry": b"retry: 99999999999999999999\nretry: -1",
        "bytes": rng.randbytes(500),
    }
    what = rng.choice(list(hostile))
    pieces[place : place + rng.randrange(2)] = [hostile[what]]
    return answer.noted(what, body=b"\n\n".join(pieces))
