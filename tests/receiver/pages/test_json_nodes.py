"""Trees of JSON: bounded, whatever the JSON."""

from __future__ import annotations

import base64
import json

import pytest

from receiver.pages.drawing import json_nodes
from receiver.pages.drawing.json_nodes import Kind, Node
from receiver.pages.rendering import environment


def _drawn(text: str) -> Node:
    return json_nodes.draw(json_nodes.parse(text))


def _count(node: Node) -> int:
    return 1 + sum(map(_count, node.children))


def test_branches_below_the_second_are_closed_and_numbers_keep_their_spelling() -> None:
    root = _drawn('{"a": {"b": {"c": 1.10}}, "n": 123456789012345678901234567890}')
    inner = root.children[0].children[0]
    assert (root.is_open, root.children[0].is_open, inner.is_open) == (True, True, False)
    assert inner.children[0].text == "1.10"
    assert root.children[1].text == "123456789012345678901234567890"


def test_a_long_array_comes_in_windows_and_its_end_by_its_pointer() -> None:
    root = json_nodes.draw(list(range(1000)), "/data/a~1b")
    assert [each.name for each in root.children[:2]] == ["0 to 49", "50 to 99"]
    assert [each.is_open for each in root.children[:2]] == [True, False]
    assert (root.children[-1].kind, root.children[-1].size) == (Kind.OMITTED, 800)
    assert root.children[-1].pointer == "/data/a~1b"


def test_a_pointer_finds_what_it_names() -> None:
    value = json_nodes.parse('{"a/b": [{"~": "x"}]}')
    assert json_nodes.find(value, "/a~1b/0/~0") == "x"
    for wrong in ("/a", "/a~1b/1", "/a~1b/x", "/a~1b/0/~0/0", "/a~1b/99999999999999"):
        with pytest.raises(KeyError):
            json_nodes.find(value, wrong)


@pytest.mark.parametrize(
    "text", ["[" * 20 + "]" * 20, json.dumps([[[0] * 300] * 300] * 300), '{"a":' * 500 + "1" + "}" * 500]
)
def test_a_tree_is_small_whatever_the_json(text: str) -> None:
    assert _count(_drawn(text)) < 6000


def test_a_text_that_is_no_json_or_too_deep_is_a_value_error() -> None:
    for text in (b"", b"{", b"\xff", b"[" * 200_000):
        with pytest.raises(ValueError):
            json_nodes.parse(text)


def test_bytes_in_base64_are_shown_as_what_they_are() -> None:
    encoded = base64.b64encode(b"%PDF-1.7\n" + bytes(3000)).decode()
    node = json_nodes.draw({"file": encoded}).children[0]
    assert (node.kind, node.text, node.size) == (Kind.BINARY, "application/pdf", 3009)
    assert json_nodes.draw(["a" * 300]).children[0].kind is Kind.STRING


def test_markup_and_characters_that_nobody_sees_are_text() -> None:
    value: json_nodes.Value = {
        "</div><script>x</script>": "\u202e\x85<b>",
        "long": "y" * 1000,
        "none": None,
        "e": [],
        "o": {},
    }
    template = environment().from_string('{% from "parts/json.html" import json %}{{ json(root, more) }}')
    drawn = template.render(root=json_nodes.draw(value), more=lambda pointer: f"?at={pointer}")
    assert "<script" not in drawn
    assert "<b>" not in drawn
    assert r"\u202e\u0085" in drawn
    assert 'href="?at=/long">cut: the whole has 1,000 characters' in drawn
