"""JSON as a bounded tree of nodes, which `parts/json.html` draws. Pure.

Whatever the JSON, the tree is small: long arrays come in windows, long strings are cut, and what is beyond the
bounds is one node with its JSON pointer (RFC 6901), by which it can be drawn as a tree of its own.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

#: Branches that are open at first, elements of a window, elements of a branch, and the deepest branch.
OPEN_DEPTH, WINDOW, ELEMENTS, DEPTH = 2, 50, 200, 24
#: Nodes after which branches stay closed, and characters of a string: in a tree, and as a tree of its own.
NODES, CHARACTERS, WHOLE = 2_000, 400, 65_536
#: The least characters that are taken for base64.
_ENCODED = 200
#: More different characters than hexadecimal digits in both cases have.
_VARIED = 22
_BASE64 = re.compile(r"(?:data:([\w.+-]{1,64}/[\w.+-]{1,64})(?:;[\w=-]{1,64})?;base64,)?([A-Za-z0-9+/_-]+={0,2})")
_PEEKED = 64
_MAGIC = (
    (b"%PDF", "application/pdf"),
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"RIFF", "image/webp"),
)
#: Characters that are drawn as escapes: they would be invisible, or change the direction of what follows.
_UNSEEN = re.compile(
    "[\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2028\u2029\u2060-\u206f\ufeff\ud800-\udfff]"
)


class Kind(StrEnum):
    """What a node is. A WINDOW is a part of an array, OMITTED a branch that is not drawn."""

    OBJECT = "object"
    ARRAY = "array"
    WINDOW = "window"
    STRING = "string"
    NUMBER = "number"
    LITERAL = "literal"
    BINARY = "binary"
    OMITTED = "omitted"


class Number(str):
    """A number as it is spelled: neither its digits nor its size are changed by reading it."""

    __slots__ = ()


Value = None | bool | int | float | str | Sequence["Value"] | Mapping[str, "Value"]


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `text` is what is drawn, `name` the spelled key or the range of a window.

    `size` counts the elements of a branch, the characters of a string, the bytes of a binary value. `is_cut` says
    that `text` is only the beginning.
    """

    kind: Kind
    pointer: str
    name: str = ""
    text: str = ""
    size: int = 0
    children: tuple[Node, ...] = ()
    is_open: bool = False
    is_cut: bool = False


def parse(text: bytes | str) -> Value:
    """Return the value of a JSON text, with its numbers as they are spelled. Raises ValueError."""
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8-sig"))  # type: ignore[no-any-return]
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def find(value: Value, pointer: str) -> Value:
    """Return the value at a JSON pointer. Raises KeyError."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdecimal() and int(name[:10]) < len(value):
            value = value[int(name[:10])]
        else:
            raise KeyError(pointer)
    return value


def draw(value: Value, pointer: str = "") -> Node:
    """Return the tree of a value; `pointer` is where the value stands in its document."""
    if isinstance(value, str) and not isinstance(value, Number):
        return _string(value, pointer, WHOLE)
    return _Drawing().node(value, pointer, 0)


class _Drawing:
    """One drawing: it counts its nodes."""

    def __init__(self) -> None:
        self._left = NODES

    def node(self, value: Value, pointer: str, depth: int) -> Node:
        self._left -= 1
        if isinstance(value, Mapping | list):
            return self._branch(value, pointer, depth)
        return _leaf(value, pointer)

    def _branch(self, value: Mapping[str, Value] | Sequence[Value], pointer: str, depth: int) -> Node:
        kind, size = (Kind.OBJECT if isinstance(value, Mapping) else Kind.ARRAY), len(value)
        if size and (self._left < 0 or depth >= DEPTH):
            return Node(Kind.OMITTED, pointer, text="{" if kind is Kind.OBJECT else "[", size=size)
        children = list(self._elements(value, pointer, depth + 1))
        if kind is Kind.ARRAY and size > WINDOW:
            children = list(_windows(children, pointer))
        if size > ELEMENTS:
            children.append(Node(Kind.OMITTED, pointer, text="", size=size - ELEMENTS))
        return Node(kind, pointer, size=size, children=tuple(children), is_open=depth < OPEN_DEPTH)

    def _elements(self, value: Mapping[str, Value] | Sequence[Value], pointer: str, depth: int) -> Iterator[Node]:
        for (key, each), _ in zip(_items(value), range(ELEMENTS), strict=False):
            below = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            name = spelled(key[:CHARACTERS]) if isinstance(value, Mapping) else ""
            yield replace(self.node(each, below, depth), name=name)


def _items(value: Mapping[str, Value] | Sequence[Value]) -> Iterable[tuple[str, Value]]:
    if isinstance(value, Mapping):
        return value.items()
    return ((str(at), each) for at, each in enumerate(value))


def _windows(children: Sequence[Node], pointer: str) -> Iterator[Node]:
    for start in range(0, len(children), WINDOW):
        part = tuple(children[start : start + WINDOW])
        name = f"{start:,} to {start + len(part) - 1:,}"
        yield Node(Kind.WINDOW, pointer, name, size=len(part), children=part, is_open=start == 0)


def _leaf(value: Value, pointer: str) -> Node:
    match value:
        case Number():
            is_cut = len(value) > CHARACTERS
            return Node(Kind.NUMBER, pointer, text=str(value[:CHARACTERS]), size=len(value), is_cut=is_cut)
        case str():
            return _string(value, pointer, CHARACTERS)
        case None | True | False:
            return Node(Kind.LITERAL, pointer, text={None: "null", True: "true"}.get(value, "false"))
    return Node(Kind.NUMBER, pointer, text=json.dumps(value))


def _string(value: str, pointer: str, most: int) -> Node:
    binary = media_type(value)
    if binary:
        return Node(Kind.BINARY, pointer, text=binary, size=_decoded_size(value))
    return Node(Kind.STRING, pointer, text=spelled(value[:most]), size=len(value), is_cut=len(value) > most)


def spelled(text: str) -> str:
    """Return a string as JSON spells it, with escapes for characters that nobody sees."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def media_type(text: str) -> str:
    """Return the media type of bytes in base64; nothing for any other text.

    >>> media_type("JVBERi0xLjcK" * 40), media_type("lorem ipsum " * 40), media_type("ab12" * 100)
    ('application/pdf', '', '')
    """
    found = _BASE64.fullmatch(text) if len(text) >= _ENCODED else None
    if found is None:
        return ""
    try:
        begun = base64.b64decode(found[2][:_PEEKED].translate(_URLSAFE), validate=True)
    except binascii.Error:
        return ""
    named = next((kind for magic, kind in _MAGIC if begun.startswith(magic)), "")
    varied = len(set(found[2][:_ENCODED])) > _VARIED and any(each < 9 or each > 126 for each in begun)
    return found[1] or named or ("application/octet-stream" if varied else "")


def _decoded_size(text: str) -> int:
    return len(text.rpartition(",")[2].rstrip("=")) * 3 // 4


_URLSAFE = str.maketrans("-_", "+/")
_DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=Number)
