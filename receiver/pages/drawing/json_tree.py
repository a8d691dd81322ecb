"""JSON as a bounded tree of nodes, which `parts/json.html` draws. Pure.

Whatever the JSON, the tree is small: long arrays come in windows, long strings are cut, and what is beyond the
bounds is one node with its JSON pointer (RFC 6901), by which it can be drawn as a tree of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from receiver.pages.drawing import contents

#: The largest JSON in bytes that is parsed, and the most values in it: no other thread runs while it is parsed.
PARSED, VALUES = 4 << 20, 300_000
#: Branches that are open at first, and the deepest branch.
OPEN_DEPTH, DEPTH = 2, 24
#: Elements of a window, of a branch, and of a branch that is a tree of its own.
WINDOW, ELEMENTS, ROOT_ELEMENTS = 50, 200, 1_000
#: Characters of a tree, of a string in it, of a name, and of a string that is a tree of its own.
CHARACTERS, STRING, NAME, WHOLE = 60_000, 400, 200, 65_536
#: Nodes for each thousand characters of a tree, of a tree that is open at all depths, and at most.
_NODES, _SMALL, _MOST = 60, 40, 2_000
#: What is drawn of a branch after the tree is full: its elements, and the characters of each string.
_FEW, _SHORT = 10, 40
#: Characters of the longest pointer, since each node has one, and of the preview of a closed object.
_POINTER, _PREVIEW = 1_000, 60
#: Characters that are drawn as escapes: they would be invisible, or change the direction of what follows.
_UNSEEN = re.compile(
    "[\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2028\u2029\u2060-\u206f\ufeff\ud800-\udfff]"
)


class Kind(StrEnum):
    """What a node is. A WINDOW is a part of an array, OMITTED a branch or the rest of one that is not drawn."""

    OBJECT = "object"
    ARRAY = "array"
    WINDOW = "window"
    STRING = "string"
    NUMBER = "number"
    LITERAL = "literal"
    FILE = "file"
    OMITTED = "omitted"


class Number(str):
    """A number as it is spelled: neither its digits nor its size are changed by reading it."""

    __slots__ = ()


Value = None | bool | int | float | str | Sequence["Value"] | Mapping[str, "Value"]
_PLAIN = {Kind.STRING, Kind.NUMBER, Kind.LITERAL}


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `text` is what is drawn, `name` the spelled key or the range of a window.

    `size` counts the elements of a branch, and the characters of a string or a file. `is_cut` says that `text` is
    only the beginning. `pointer` is None where it would be too long, and where it would show no more.
    """

    kind: Kind
    pointer: str | None
    name: str = ""
    text: str = ""
    size: int = 0
    children: tuple[Node, ...] = ()
    is_open: bool = False
    is_cut: bool = False
    file: contents.Blob | None = None

    @property
    def is_whole(self) -> bool:
        """Return whether nothing of the value is left out."""
        return self.kind is not Kind.OMITTED and not self.is_cut and all(each.is_whole for each in self.children)

    @property
    def preview(self) -> str:
        """Return the first plain values of an object on one line, which a closed node shows."""
        plain = [each.text[:_PREVIEW] for each in self.children[:4] if each.kind in _PLAIN]
        return ", ".join(plain)[:_PREVIEW] if self.kind is Kind.OBJECT else ""


def parse(text: bytes | str) -> Value:
    """Return the value of a JSON text, with its numbers as they are spelled. Raises ValueError."""
    if len(text) > PARSED:
        raise ValueError("the JSON is too large")
    plain = text if isinstance(text, str) else text.decode("utf-8-sig")
    if sum(map(plain.count, "[{,")) > VALUES:
        raise ValueError("the JSON has too many values")
    try:
        return _DECODER.decode(plain)  # type: ignore[no-any-return]
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


def draw(value: Value, pointer: str = "", characters: int = CHARACTERS) -> Node:
    """Return the tree of a value, of about that many characters; a small one is open at all depths.

    `pointer` is the place of the value in its document.
    """
    if isinstance(value, str) and not isinstance(value, Number):
        return _string(value, pointer, WHOLE)
    drawing = _Drawing(characters, OPEN_DEPTH)
    root = drawing.node(value, pointer, 0)
    return root if drawing.nodes > _SMALL else _Drawing(characters, DEPTH).node(value, pointer, 0)


class _Drawing:
    """One drawing: it counts its nodes and characters."""

    def __init__(self, characters: int, open_depth: int) -> None:
        self._left = characters
        self._open_depth = open_depth
        self._most = min(characters * _NODES // 1000, _MOST)
        self.nodes = 0

    @property
    def _is_full(self) -> bool:
        return self._left <= 0 or self.nodes >= self._most

    def node(self, value: Value, pointer: str | None, depth: int) -> Node:
        self.nodes += 1
        if isinstance(value, Mapping | list):
            return self._branch(value, pointer, depth)
        leaf = _leaf(value, pointer, _SHORT if self._is_full else STRING)
        self._left -= len(leaf.text)
        return leaf

    def _branch(self, value: Mapping[str, Value] | Sequence[Value], pointer: str | None, depth: int) -> Node:
        kind, size = (Kind.OBJECT if isinstance(value, Mapping) else Kind.ARRAY), len(value)
        if size and (self._is_full or depth >= DEPTH):
            return Node(Kind.OMITTED, pointer, text="{" if kind is Kind.OBJECT else "[", size=size)
        children = list(self._elements(value, pointer, depth + 1))
        is_open = depth < self._open_depth or any(each.file for each in children)
        drawn = len(children)
        if kind is Kind.ARRAY and drawn > WINDOW:
            children = list(_windows(children, pointer))
        if size > drawn:
            children.append(Node(Kind.OMITTED, pointer if depth else None, size=size - drawn))
        return Node(kind, pointer, size=size, children=tuple(children), is_open=is_open)

    def _elements(
        self, value: Mapping[str, Value] | Sequence[Value], pointer: str | None, depth: int
    ) -> Iterator[Node]:
        most = ELEMENTS if depth > 1 else ROOT_ELEMENTS
        for drawn, (key, each) in enumerate(_items(value)):
            if drawn >= (_FEW if self._is_full else most):
                break
            name = spelled(key[:NAME]) if isinstance(value, Mapping) else ""
            self._left -= len(name) + 2
            yield replace(self.node(each, _below(pointer, key), depth), name=name)


def _items(value: Mapping[str, Value] | Sequence[Value]) -> Iterable[tuple[str, Value]]:
    if isinstance(value, Mapping):
        return value.items()
    return ((str(at), each) for at, each in enumerate(value))


def _below(pointer: str | None, key: str) -> str | None:
    if pointer is None or len(pointer) + len(key) > _POINTER:
        return None
    return f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"


def _windows(children: Sequence[Node], pointer: str | None) -> Iterator[Node]:
    for start in range(0, len(children), WINDOW):
        part = tuple(children[start : start + WINDOW])
        name = f"{start:,} to {start + len(part) - 1:,}"
        yield Node(Kind.WINDOW, pointer, name, size=len(part), children=part, is_open=start == 0)


def _leaf(value: Value, pointer: str | None, most: int) -> Node:
    match value:
        case Number():
            return Node(Kind.NUMBER, pointer, text=str(value[:most]), size=len(value), is_cut=len(value) > most)
        case str():
            return _string(value, pointer, most)
        case None | True | False:
            return Node(Kind.LITERAL, pointer, text={None: "null", True: "true"}.get(value, "false"))
    return Node(Kind.NUMBER, pointer, text=json.dumps(value))


def _string(value: str, pointer: str | None, most: int) -> Node:
    if file := contents.recognise(value):
        return Node(Kind.FILE, pointer, size=len(value), file=file)
    return Node(Kind.STRING, pointer, text=spelled(value[:most]), size=len(value), is_cut=len(value) > most)


def spelled(text: str) -> str:
    """Return a string as JSON spells it, with escapes for invisible characters."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


_DECODER = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=Number)
