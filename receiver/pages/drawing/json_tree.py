"""A JSON value as a tree that folds: bounded in its nodes, its depth and its characters. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from receiver.pages.drawing import contents

#: The levels that are open at first, the levels that are shown at all, and the entries of one list or object.
OPEN_LEVELS, LEVELS, ENTRIES = 2, 24, 50
#: The characters of a text, and of a name, in a tree.
TEXT, NAME = 400, 200
#: The nodes of a tree for each thousand characters of its budget.
_NODES = 60
#: The nodes of a tree that is open at all levels, and the characters of the preview of a folded object.
_SMALL, _PREVIEW = 40, 60


@dataclass(slots=True)
class Node:
    """A value. `kind` is object, array, text, number, word or blob; `text` is its beginning as JSON.

    `size` is the number of entries, or of characters. `path` is a JSON pointer (RFC 6901). `rest` is the number of
    entries that are left out.
    """

    kind: str
    text: str = ""
    name: str | None = None
    size: int = 0
    path: str = ""
    is_open: bool = False
    is_cut: bool = False
    children: list[Node] = field(default_factory=list)
    preview: str = ""
    rest: int = 0
    blob: contents.Blob | None = None


@dataclass(slots=True)
class Tree:
    """A tree, and whether all of the value is in it."""

    root: Node
    is_whole: bool


def tree(value: Any, characters: int) -> Tree:
    """Return a value as a tree of about so many characters. A small one is open at all levels."""
    builder = _Builder(characters)
    root = builder.node(value, None, "", 0)
    if builder.is_whole and builder.nodes <= _SMALL:
        _open(root)
    return Tree(root, builder.is_whole)


def _open(node: Node) -> None:
    node.is_open = True
    for child in node.children:
        _open(child)


def find(value: Any, pointer: str) -> Any:
    """Return the value at a JSON pointer. Raise LookupError where there is none."""
    for part in pointer.split("/")[1:] if pointer else []:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            if not (key.isascii() and key.isdecimal() and len(key) < 10):
                raise LookupError(pointer)
            value = value[int(key)]
        elif isinstance(value, dict):
            value = value[key]
        else:
            raise LookupError(pointer)
    return value


class _Builder:
    """Builds one tree within its budget of characters and nodes."""

    def __init__(self, characters: int) -> None:
        self._left = characters
        self._most = characters * _NODES // 1000
        self.nodes = 0
        self.is_whole = True

    def node(self, value: Any, name: str | None, path: str, level: int) -> Node:
        self.nodes += 1
        self._left -= len(name or "") + 2
        match value:
            case dict() | list():
                made = self._collection(value, path, level)
            case str():
                made = self._text(value)
            case bool() | None:
                made = Node("word", {True: "true", False: "false", None: "null"}[value])
            case _:
                made = Node("number", json.dumps(value)[:TEXT])
        made.name, made.path = None if name is None else name[:NAME], path
        self._left -= len(made.text)
        return made

    def _text(self, value: str) -> Node:
        if blob := contents.recognise(value):
            return Node("blob", size=len(value), blob=blob)
        room = max(min(TEXT, self._left), self._left // 2, 40)
        is_cut = len(value) > room
        self.is_whole = self.is_whole and not is_cut
        return Node("text", json.dumps(value[:room], ensure_ascii=False)[1:-1], size=len(value), is_cut=is_cut)

    def _collection(self, value: dict[str, Any] | list[Any], path: str, level: int) -> Node:
        made = Node("object" if isinstance(value, dict) else "array", size=len(value))
        made.is_open = level < OPEN_LEVELS
        shown = 0
        for name, child, key in _entries(value):
            if shown >= ENTRIES or level >= LEVELS or self._left <= 0 or self.nodes >= self._most:
                break
            made.children.append(self.node(child, name, f"{path}/{key}", level + 1))
            shown += 1
        made.rest = len(value) - shown
        made.preview = _preview(made)
        self.is_whole = self.is_whole and made.rest == 0
        return made


def _preview(node: Node) -> str:
    """Return the first plain values of an object on one line, by which one knows it while it is folded."""
    plain = [child for child in node.children[:4] if child.kind in {"text", "number", "word"}]
    return ", ".join(child.text[:_PREVIEW] for child in plain)[:_PREVIEW] if node.kind == "object" else ""


def _entries(value: dict[str, Any] | list[Any]) -> Iterator[tuple[str | None, Any, str]]:
    """Yield the entries with their names and how a JSON pointer spells these."""
    if isinstance(value, list):
        yield from ((None, child, str(at)) for at, child in enumerate(value))
    else:
        yield from ((name, child, name.replace("~", "~0").replace("/", "~1")) for name, child in value.items())
