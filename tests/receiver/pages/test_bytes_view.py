"""Bytes as JSON, text and hexadecimal digits."""

from __future__ import annotations

import gzip

import pytest

from receiver.pages.drawing import bytes_view


@pytest.mark.parametrize("view", ["raw", "hex"])
def test_the_pieces_together_are_the_whole(view: str) -> None:
    body, text, at = ("é{" * 20_000).encode(), "", 0
    while at < len(body):
        piece = bytes_view.show(body, view, at)
        text, at = text + piece.text + "\n" * (view == "hex"), piece.end
    if view == "raw":
        assert text == body.decode()
    else:
        assert b"".join(bytes.fromhex(line[10:34]) for line in text.splitlines()) == body


def test_json_is_a_tree_also_where_it_is_compressed_and_anything_else_is_text() -> None:
    assert bytes_view.show(b'{"a":1}', "pretty").tree is not None
    assert bytes_view.show(gzip.compress(b'{"a":1}'), "pretty").was_compressed
    for body in (b"", b"a=1&b=2", b"\xff\x00", gzip.compress(b"x"), b"[" * 10**6, b'{"a":1}' + b" " * (5 << 20)):
        assert bytes_view.show(body, "pretty").view == "raw"
    assert bytes_view.show(b'{"a":[7]}', "pretty", pointer="/a/0").tree.text == "7"  # type: ignore[union-attr]


def test_characters_that_nobody_sees_are_shown() -> None:
    assert bytes_view.show("a\x00\u202eb\n".encode(), "raw").text == "a\u2400\\u202eb\n"
