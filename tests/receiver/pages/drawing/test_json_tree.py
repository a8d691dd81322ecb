"""JSON as a tree that folds."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from receiver.pages.drawing import json_tree

VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner),
)


def count(node: json_tree.Node) -> int:
    """Return the number of nodes."""
    return 1 + sum(count(child) for child in node.children)


def test_a_large_value_is_a_bounded_tree_that_says_what_is_left_out() -> None:
    made = json_tree.tree({"rows": [{"text": "x" * 1000}] * 10_000}, 4000)
    rows = made.root.children[0]
    assert not made.is_whole
    assert len(rows.children) + rows.rest == 10_000
    assert count(made.root) < 300


def test_a_value_that_nests_deeply_ends_at_a_level() -> None:
    value: Any = []
    for _ in range(90):
        value = [value]
    assert count(json_tree.tree(value, 4000).root) <= json_tree.LEVELS + 1


@hypothesis.given(VALUES)
def test_each_node_is_found_by_its_pointer(value: Any) -> None:
    waiting = [json_tree.tree(value, 4000).root]
    while waiting:
        node = waiting.pop()
        found = json_tree.find(value, node.path)
        assert (node.kind == "object") == isinstance(found, dict)
        waiting += node.children


@pytest.mark.parametrize("pointer", ["/x", "/0/1", "/-1", "/99999999999999999999", "/٣"])
def test_a_pointer_to_nothing_is_refused(pointer: str) -> None:
    with pytest.raises(LookupError):
        json_tree.find(["a"], pointer)
