"""Trees of JSON: bounded, whatever the JSON."""

from __future__ import annotations

import base64
import json

import hypothesis
import pytest
from hypothesis import strategies

from receiver.pages.drawing import json_tree
from receiver.pages.drawing.json_tree import Kind, Node
from receiver.pages.rendering import environment

VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner),
)


def _drawn(text: str) -> Node:
    return json_tree.draw(json_tree.parse(text))


def _count(node: Node) -> int:
    return 1 + sum(map(_count, node.children))


def test_branches_below_the_second_are_closed_and_numbers_keep_their_spelling() -> None:
    root = _drawn('{"a": {"b": {"c": 1.10}}, "n": 123456789012345678901234567890, "more": [' + "0," * 40 + "0]}")
    inner = root.children[0].children[0]
    assert (root.is_open, root.children[0].is_open, inner.is_open) == (True, True, False)
    assert inner.children[0].text == "1.10"
    assert root.children[1].text == "123456789012345678901234567890"


def test_a_long_array_comes_in_windows_and_its_end_by_its_pointer() -> None:
    root = json_tree.draw({"a/b": list(range(1000))}, "/data").children[0]
    assert [each.name for each in root.children[:2]] == ["0 to 49", "50 to 99"]
    assert [each.is_open for each in root.children[:2]] == [True, False]
    assert (root.children[-1].kind, root.children[-1].size) == (Kind.OMITTED, 800)
    assert root.children[-1].pointer == "/data/a~1b"
    whole = json_tree.draw(list(range(1500)), "/data/a~1b")
    assert (whole.children[-1].size, whole.children[-1].pointer) == (500, None)


def test_a_pointer_finds_what_it_names() -> None:
    value = json_tree.parse('{"a/b": [{"~": "x"}]}')
    assert json_tree.find(value, "/a~1b/0/~0") == "x"
    for wrong in ("/a", "/a~1b/1", "/a~1b/x", "/a~1b/0/~0/0", "/a~1b/99999999999999"):
        with pytest.raises(KeyError):
            json_tree.find(value, wrong)


@pytest.mark.parametrize(
    "text", ["[" * 20 + "]" * 20, json.dumps([[[0] * 300] * 300] * 3), '{"a":' * 500 + "1" + "}" * 500]
)
def test_a_tree_is_small_whatever_the_json(text: str) -> None:
    assert _count(_drawn(text)) < 6000


def test_a_tree_has_about_so_many_characters_and_says_what_is_left_out() -> None:
    root = json_tree.draw({"rows": [{"text": "x " * 500}] * 10_000, "last": "y " * 500}, characters=4000)
    rows, last = root.children
    assert not root.is_whole
    assert rows.children[-1].kind is Kind.OMITTED
    assert len(last.text) < 50
    assert _count(root) < 100


def test_a_small_tree_is_open_at_all_depths() -> None:
    root = _drawn('{"a": {"b": {"c": 1}}}')
    assert root.is_whole
    assert root.children[0].children[0].is_open


def test_a_long_name_is_not_repeated_in_a_pointer_of_each_node_below_it() -> None:
    root = json_tree.draw({"k" * 10_000: [[{}], "x " * 500]})
    below = root.children[0].children
    assert [each.pointer for each in below] == [None, None]
    assert len(root.children[0].name) < 210


@hypothesis.given(VALUES)
def test_each_node_is_found_by_its_pointer(value: json_tree.Value) -> None:
    waiting = [json_tree.draw(value)]
    while waiting:
        node = waiting.pop()
        if node.pointer is not None:
            found = json_tree.find(value, node.pointer)
            assert (node.kind is Kind.OBJECT) == isinstance(found, dict) or node.kind is Kind.OMITTED
        waiting += node.children


def test_a_text_that_is_no_json_or_too_much_is_a_value_error() -> None:
    for text in (b"", b"{", b"\xff", b"[" * 200_000, b"[" + b"1," * 400_000 + b"1]"):
        with pytest.raises(ValueError):
            json_tree.parse(text)


def test_bytes_in_base64_are_shown_as_what_they_are() -> None:
    encoded = base64.b64encode(b"%PDF-1.7\n" + bytes(3000)).decode()
    node = json_tree.draw({"file": encoded}).children[0]
    assert node.file is not None
    assert (node.kind, node.file.media_type, node.file.size) == (Kind.FILE, "application/pdf", 3009)
    assert json_tree.draw(["a" * 300]).children[0].kind is Kind.STRING


def test_markup_and_characters_that_nobody_sees_are_text() -> None:
    value: json_tree.Value = {
        "</div><script>x</script>": "\u202e\x85<b>",
        "long": "y " * 500,
        "none": None,
        "e": [],
        "o": {},
    }
    template = environment().from_string('{% from "parts/json.html" import json %}{{ json(root, more) }}')
    drawn = template.render(root=json_tree.draw(value), more=lambda pointer: f"?at={pointer}")
    assert "<script" not in drawn
    assert "<b>" not in drawn
    assert r"\u202e\u0085" in drawn
    assert 'href="?at=/long">cut: the whole has 1,000 characters' in drawn
