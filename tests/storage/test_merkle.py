"""Canonical bytes and Merkle roots, compared with other implementations."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pymerkle
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from storage import merkle

# Lone surrogates never get here: they are replaced when a payload is read.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ASTRAL = st.sampled_from(
    ["\U0001f600", "\ufb33", "\u20ac", "\r", "1", "\u0080", "\u00f6", "\x00", "\x1f", "\x7f", '"', "\\"]
)
LEAF = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT
VALUES = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | ASTRAL, inner, max_size=4)
)


@given(VALUES)
def test_canonical_bytes_are_those_of_the_standard(value: Any) -> None:
    assert merkle.canonical(value) == rfc8785.dumps(value)


def test_keys_are_ordered_by_utf_16_units_not_by_code_points() -> None:
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    assert [*json.loads(merkle.canonical(value)).values()] == [2, 4, 6, 7, 1, 5, 3]


def test_a_text_that_is_encoded_is_a_text_inside_another_value() -> None:
    assert merkle.canonical({"a": merkle.CanonicalJson('{"b":1}')}) == rfc8785.dumps({"a": '{"b":1}'})


@pytest.mark.parametrize("size", [*range(1, 20), 31, 32, 33, 64, 100, 255, 257])
def test_the_root_is_that_of_rfc_6962(size: int) -> None:
    entries = [f"entry {place}".encode() for place in range(size)]
    oracle = pymerkle.InmemoryTree.init_from_entries(entries, algorithm="sha256")
    assert merkle.root([merkle.leaf_hash(entry) for entry in entries]) == oracle.get_root()


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert merkle.root([]) == hashlib.sha256(b"").digest()


def test_a_digest_covers_salt_name_and_value() -> None:
    expected = hashlib.sha256(b"salt" + b"prompt\x00" + b"value").hexdigest()
    assert merkle.digest(b"salt", "prompt", b"value") == expected


def test_equal_values_get_different_digests() -> None:
    first, second = (merkle.salted_digest("prompt", b"same")[0] for _ in range(2))
    assert first.hex != second.hex


def test_a_digest_is_recomputed_from_its_salt() -> None:
    (digest,) = merkle.salted_digest("prompt", b"value")
    assert digest.salt is not None
    assert digest.hex == merkle.digest(digest.salt, "prompt", b"value")


def test_no_value_has_no_digest() -> None:
    assert merkle.salted_digest("guidance", None) == ()


def test_an_empty_value_has_a_digest() -> None:
    assert len(merkle.salted_digest("guidance", b"")) == 1


def test_rows_share_one_root_without_a_salt_of_its_own() -> None:
    rows = [(b"a" * 16, b"first"), (b"b" * 16, b"second")]
    (digest,) = merkle.rows_digest("steps", rows)
    digests = [hashlib.sha256(salt + b"steps\x00" + value).digest() for salt, value in rows]
    leaves = [hashlib.sha256(b"\x00" + digest).digest() for digest in digests]
    root = hashlib.sha256(b"\x01" + leaves[0] + leaves[1]).hexdigest()
    assert (digest.name, digest.hex, digest.salt) == ("steps", root, None)
