"""Received bytes as JSON, as text, and in hexadecimal: a bounded piece at a time. Pure."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from receiver.pages.drawing import json_tree

View = Literal["pretty", "raw", "hex"]
VIEWS: tuple[View, ...] = ("pretty", "raw", "hex")
#: The bytes of a piece of text and of hexadecimal digits, and of a line of these.
PIECE, HEX_PIECE, LINE = 16_384, 2_048, 8
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2028\u2029\u2060-\u206f\ufeff]"
)
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of bytes as it is shown. `end` is where the next piece begins, `size` how many bytes there are.

    `tree` is set where the bytes are drawn as JSON. `was_compressed` says that the tree is of decompressed bytes.
    """

    view: View
    start: int
    end: int
    size: int
    text: str = ""
    tree: json_tree.Node | None = None
    was_compressed: bool = False

    @property
    def has_more(self) -> bool:
        return self.tree is None and self.end < self.size


def show(body: bytes, view: str, start: int = 0, pointer: str = "") -> Piece:
    """Return a piece in a view; bytes that are no JSON have no pretty one and are shown as text."""
    if view == "hex":
        return _hex(body, start - start % LINE)
    if view != "raw" and start == 0:
        plain = _unzipped(body)
        try:
            tree = json_tree.draw(json_tree.find(json_tree.parse(plain), pointer), pointer) if plain else None
        except (ValueError, KeyError):
            tree = None
        if tree is not None:
            return Piece("pretty", 0, len(body), len(body), tree=tree, was_compressed=plain is not body)
    return _text(body, start)


def _unzipped(body: bytes) -> bytes:
    """Return the bytes that may be JSON, of compressed ones no more than are parsed."""
    if not body.startswith(_GZIP):
        return body
    try:
        return zlib.decompressobj(wbits=31).decompress(body, json_tree.PARSED)
    except zlib.error:
        return b""


def _text(body: bytes, start: int) -> Piece:
    end = min(start + PIECE, len(body))
    while start < end < len(body) and body[end] & 0xC0 == 0x80 and end > start + PIECE - 4:
        end -= 1  # a character of several bytes is not cut
    text = body[start:end].decode("utf-8", "replace")
    return Piece("raw", start, end, len(body), _UNSEEN.sub(_escaped, text))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else f"\\u{code:04x}"


def _hex(body: bytes, start: int) -> Piece:
    end = min(start + HEX_PIECE, len(body))
    lines = (_line(at, body[at : min(at + LINE, end)]) for at in range(start, end, LINE))
    return Piece("hex", start, end, len(body), "\n".join(lines))


def _line(at: int, part: Sequence[int]) -> str:
    """Return one line: offset, digits, characters.

    >>> _line(16, b"{}\\xff")
    '00000010  7b 7d ff                 {}.'
    """
    digits = [f"{each:02x}" for each in part]
    return f"{at:08x}  {' '.join(digits):<24} {''.join(chr(each) if 32 <= each < 127 else '.' for each in part)}"
