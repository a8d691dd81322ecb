"""The tree over the entries: roots and proofs from hashes of every eighth level."""

from __future__ import annotations

from collections.abc import Sequence

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import merkle
from storage.ledger import tree

LEAVES = [merkle.leaf_hash(b"%d" % number) for number in range(66_000)]
ROWS = [LEAVES]
while len(ROWS[-1]) >= tree.WIDTH:
    whole = range(len(ROWS[-1]) // tree.WIDTH)
    ROWS.append([merkle.root(ROWS[-1][at * tree.WIDTH : (at + 1) * tree.WIDTH]) for at in whole])
SIZES = [1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 66_000]


def read(row: int, first: int, count: int) -> Sequence[bytes]:
    return ROWS[row][first : first + count]


@pytest.mark.parametrize("size", SIZES)
def test_the_root_is_that_of_all_leaves(size: int) -> None:
    grown = tree.Tree(size, read)
    assert grown.root() == merkle.root(LEAVES[:size])
    assert grown.root(size // 2) == merkle.root(LEAVES[: size // 2])


def test_the_root_of_an_empty_log_is_the_hash_of_nothing() -> None:
    assert tree.Tree(0, read).root() == merkle.root(())


@given(size=st.integers(1, 700), data=st.data())
def test_a_proof_has_the_hashes_of_an_independent_implementation(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    entries = [b"%d" % number for number in range(size)]
    ours, oracle = tree.Tree(size, read), pymerkle.InmemoryTree.init_from_entries(entries, algorithm="sha256")
    theirs = oracle.prove_inclusion(index + 1, size).serialize()["path"]
    assert ours.root() == oracle.get_root(size)
    assert {each.hex() for each in ours.inclusion(index)} == {*theirs} - {LEAVES[index].hex()}


def test_a_proof_reads_two_tiles_of_a_row_at_most() -> None:
    asked: list[tuple[int, int]] = []

    def counted(row: int, first: int, count: int) -> Sequence[bytes]:
        asked.append((row, first))
        return read(row, first, count)

    tree.Tree(66_000, counted).inclusion(1234)
    assert sorted(asked) == [(0, 1024), (0, 65_792), (1, 0), (1, 256)]


def test_a_tile_that_lacks_a_hash_is_noticed() -> None:
    with pytest.raises(AssertionError, match="row 0 of the tree lacks hashes from 256 on"):
        tree.Tree(300, lambda row, first, count: read(row, first, count)[:40]).root()
