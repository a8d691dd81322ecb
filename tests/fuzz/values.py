"""Hostile values: texts, numbers, instants and structures, each drawn with a label that names its kind.

`encoded` renders JSON that `json` cannot: a `Raw` stands verbatim, and a `Pairs` may hold a name twice.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

#: A kind, and its label.
Value = tuple[str, Any]
Maker = Callable[[random.Random], Any]


@dataclass(frozen=True)
class Raw:
    """A piece of JSON, verbatim."""

    text: str


@dataclass(frozen=True)
class Pairs:
    """An object as its members in order, where a name may stand twice."""

    members: tuple[tuple[str, Any], ...]


def encoded(value: Any, *, ascii_only: bool = True) -> bytes:
    """Return the JSON of a value; where it is not ASCII only, surrogates become bytes that are no UTF-8."""
    return _rendered(value, ascii_only).encode("utf-8", "surrogatepass")


def _rendered(value: Any, ascii_only: bool) -> str:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        value = Pairs(tuple(value.items()))
    if isinstance(value, Pairs):
        members = (
            f"{json.dumps(k, ensure_ascii=ascii_only)}:{_rendered(v, ascii_only)}" for k, v in value.members
        )
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_rendered(each, ascii_only) for each in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def _marks(rng: random.Random) -> str:
    """One letter and a run of combining marks of alternating classes."""
    return "e" + "\u0301\u0323" * (rng.choice((40, 2_000, 60_000, 100_000)) // 2)


def _words(rng: random.Random) -> str:
    return " ".join(f"w{rng.getrandbits(40):x}" for _ in range(rng.choice((50, 20_000))))


#: Texts by kind. Each kind has broken some receiver, database, index or parser.
TEXTS: dict[str, Maker] = {
    "empty": lambda _: "",
    "blank": lambda rng: rng.choice((" ", "\t\n", "\u3000", "\u00a0" * 100, " " * 100_000)),
    "NUL": lambda rng: rng.choice(("\x00", "a\x00b", "\x00" * 1000, "text\x00")),
    "control characters": lambda _: "".join(map(chr, range(1, 32))) + "\x7f\x1b[31m\x9b",
    "lone surrogate": lambda rng: rng.choice(("\ud800", "a\udfffb", "\udc00\ud800", "\ud83d" * 100)),
    "combining marks": _marks,
    "one class of marks": lambda rng: "a" + "\u0301" * rng.choice((31, 50_000)),
    "Hangul letters": lambda _: "\u1100\u1161\u11a8" * 20_000,
    "letters that expand": lambda _: "\ufdfa" * 20_000,
    "variation selectors": lambda _: "x" + "\ufe0f\U000e0100" * 30_000,
    "joined emoji": lambda _: "\U0001f468\u200d" * 20_000,
    "line separators": lambda _: "one\u2028two\u2029three\u0085four\x0bfive\x0csix\rseven\r\neight",
    "soft hyphens": lambda _: "Ge\u00adsamt\u00adkon\u00adzept " + "\u00ad" * 10_000,
    "zero width": lambda _: "a\u200bb\u200cc\u200dd\u2060e\ufefff" * 500,
    "right to left": lambda _: "\u202e\u05d0\u05d1\u2066abc\u202c\u061c" * 50,
    "CJK": lambda _: "重跑gen-itgc后" * 3000,
    "not characters": lambda _: "\ufffe\uffff\ufdd0\U0010ffff",
    "6,400 hex digits": lambda rng: f"{rng.getrandbits(25_600):06400x}",
    "one long word": lambda rng: "a" * rng.choice((256, 3_000, 70_000, 1_000_000)),
    "long emoji": lambda _: "\U0001f9e8" * 30_000,
    "many words": _words,
    "5,000 digits": lambda _: "9" * 5_000,
    "SQL": lambda _: "'; DROP TABLE runs; -- %s %(x)s :name ? $1 \\",
    "formats": lambda _: "%n%s%d {0} {x!r} ${jndi:ldap://x} {{7*7}} #{1}",
    "markup": lambda _: "<script>alert(1)</script><![CDATA[ ]]> &amp; --> [/red][link=x]",
    "formula": lambda _: '=cmd|" /C calc"!A0, "quoted", ;\t',
    "path": lambda _: "../../../../etc/passwd\\..\\%2e%2e%2f",
    "nearly a pattern's match": lambda rng: rng.choice(
        ("a" * 50_000 + "!", "(" * 30_000, '"\\' * 20_000, "-" * 9_999)
    ),
    "quotes": lambda _: '"\'`´„“”«»\\"',
    "byte order mark": lambda _: "\ufefftext",
    "JSON in a text": lambda _: '{"id": "run_1", "status": "completed"}',
    "an address": lambda rng: rng.choice(("http://127.0.0.1:1/", "file:///etc/passwd", "http://[::1", "//x@y:z")),
    "a state": lambda rng: rng.choice(
        ("queued", "running", "completed", "failed", "cancelled", "Completed", "expired")
    ),
}

NUMBERS: dict[str, Maker] = {
    "zero": lambda rng: rng.choice((0, Raw("-0"), Raw("-0.0"), Raw("0e9"))),
    "negative": lambda rng: rng.choice((-1, -(2**31), -(2**63), -(2**63) - 1)),
    "2^53 and more": lambda rng: rng.choice((2**53 - 1, 2**53, 2**53 + 1)),
    "bounds of words": lambda rng: rng.choice((2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64)),
    "exponent": lambda rng: Raw(
        rng.choice(("1e400", "-1e400", "1e-400", "1e308", "1E+5", "123e-7", "1e99999999"))
    ),
    "thousands of digits": lambda rng: Raw("9" * rng.choice((310, 4_301, 50_000))),
    "thousands of decimals": lambda rng: Raw("0." + "3" * rng.choice((400, 5_000, 50_000))),
    "not a number": lambda rng: Raw(rng.choice(("NaN", "Infinity", "-Infinity"))),
    "fraction": lambda rng: rng.choice((0.5, 1.0, 1e16, 5e-324)),
    "a truth": lambda rng: rng.choice((True, False)),
    "digits as a text": lambda rng: rng.choice(("12", "1_000", "١٢٣", " 7 ", "0x10")),
    "no JSON": lambda rng: Raw(rng.choice(("01", "+1", ".5", "1.", "0x1F", "1_0", "--1", "undefined"))),
}

_INSTANTS = (
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "1969-12-31T23:59:59Z", "1582-10-04T00:00:00Z", "2199-01-01T00:00:00Z", "0000-00-00T00:00:00Z",
    "10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-25T24:00:00Z", "2026-11-25T23:59:60Z",
    "2026-11-25T10:00:00+99:99", "2026-11-25T10:00:00-23:59", "2026-11-25T10:00:00+00:00:59",
    "2026-11-25 10:00:00",
    "2026-11-25", "20261125T100000Z", "2026-W48-3", "2026-329", "2026-11-25T10:00:00." + "1" * 400 + "Z",
    "2026-11-25T10:00:00,5Z", "２０２６-11-25T10:00:00Z", "2026-11-25T10:00:00Z\x00", "now", "infinity",
    "-infinity",
    "epoch", "1764065000", "Wed, 25 Nov 2026 10:00:00 GMT", "-2026-01-01T00:00:00Z",
)  # fmt: skip
INSTANTS: dict[str, Maker] = {
    "instant": lambda rng: rng.choice(_INSTANTS),
    "an instant at the end of time": lambda rng: rng.choice(_INSTANTS[:4]),
    "instant as a number": lambda rng: rng.choice(
        (0, 1764065000, 1764065000123, -62135596800, 1e18, Raw("1e400"))
    ),
}

STRUCTURES: dict[str, Maker] = {
    "null": lambda _: None,
    "empty list": lambda _: [],
    "empty object": lambda _: {},
    "deep lists": lambda rng: Raw(_nested("[", "]", rng.choice((60, 500, 10_000)))),
    "deep objects": lambda rng: Raw(_nested('{"a":', "}", rng.choice((60, 500, 10_000)), "1")),
    "long list": lambda rng: [rng.choice((None, 1, "x", {}))] * rng.choice((1000, 10_000)),
    "wide object": lambda rng: {f"key {place}": place for place in range(rng.choice((500, 10_000)))},
    "a name twice": lambda _: Pairs((("id", 1), ("id", "two"), ("", None), ("", []))),
    "hostile names": lambda rng: {
        "\x00": 1,
        "\ud800": 2,
        "e\u0301" * 500: 3,
        "__proto__": {},
        "a" * rng.choice((300, 70_000)): 4,
        "a.b": 5,
    },
    "many floats": lambda rng: [rng.random() for _ in range(rng.choice((100, 20_000)))],
}
#: Kinds that are drawn more often: they break databases and parsers most.
FAVOURED = (
    "combining marks",
    "NUL",
    "lone surrogate",
    "6,400 hex digits",
    "line separators",
    "thousands of digits",
) * 2
_ALL = (TEXTS, NUMBERS, INSTANTS, STRUCTURES)


def _nested(begin: str, end: str, depth: int, inner: str = "") -> str:
    return begin * depth + inner + end * depth


def drawn(rng: random.Random, *kinds: dict[str, Maker]) -> Value:
    """Draw one value of these families, of all where none is named."""
    family = rng.choice(kinds or _ALL)
    kind = rng.choice([*family, *(kind for kind in FAVOURED if kind in family)])
    return kind, family[kind](rng)


def text(rng: random.Random) -> Value:
    """Draw a text."""
    return drawn(rng, TEXTS)


def short_text(rng: random.Random, most: int = 2000) -> Value:
    """Draw a text and cut it, for places where a long one is refused at once."""
    kind, value = text(rng)
    return kind, value[:most]


def some(rng: random.Random, values: Sequence[Any], fewest: int, most: int) -> list[Any]:
    """Draw a few of some values, each at most once, in any order."""
    return rng.sample(list(values), min(len(values), rng.randint(fewest, most)))
