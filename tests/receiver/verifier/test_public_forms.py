"""The strict reader of the public forms, held against what the log writes and against each break of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.crypto import log_keys
from receiver.verifier import ed25519, public_forms
from storage import merkle
from storage.ledger import forms, tree

LOG = log_keys.new("runledger.example/log")
LEAVES = [b"leaf %d" % number for number in range(300)]
ROWS = [[merkle.leaf_hash(leaf) for leaf in LEAVES]]
ROWS.append([merkle.root(ROWS[0][:256])])
POLICY = f"# whom we trust\nlog {LOG.verifier_key}\nquorum none\n".encode()


def grown(size: int) -> tree.Tree:
    return tree.Tree(size, lambda row, first, count: ROWS[row][first : first + count])


def note(size: int) -> str:
    text = forms.checkpoint_text(LOG.name, size, grown(size).root())
    return forms.signed(text, [LOG.line(text)])


def proof(index: int, size: int) -> bytes:
    return forms.proof(index, grown(size).inclusion(index), note(size)).encode()


def verify(given: bytes, leaf: bytes, policy: bytes = POLICY) -> public_forms.Trust:
    """Check everything that a proof and a policy claim."""
    found = public_forms.parse_proof(given)
    trusted = public_forms.trust(found.checkpoint, public_forms.parse_policy(policy), ed25519.verify)
    public_forms.demand_included(leaf, found)
    return trusted


@given(size=st.integers(1, 300), data=st.data())
def test_every_leaf_is_proved_and_no_other(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    found = public_forms.parse_proof(proof(index, size))
    public_forms.demand_included(LEAVES[index], found)
    with pytest.raises(public_forms.Refused, match="is not the one at index"):
        public_forms.demand_included(LEAVES[index] + b"x", found)
    for hashes in (found.hashes[1:], [*found.hashes, b"x" * 32], found.hashes[::-1]):
        if list(hashes) != list(found.hashes):
            with pytest.raises(public_forms.Refused):
                public_forms.demand_included(LEAVES[index], replace(found, hashes=hashes))


@given(size=st.integers(1, 300), data=st.data())
def test_a_log_that_grew_is_consistent_and_no_other(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    before, after = (public_forms.parse_checkpoint(note(each).encode()) for each in (old, size))
    path = grown(size).consistency(old)
    public_forms.demand_consistent(before, after, path)
    with pytest.raises(public_forms.Refused, match="does not continue"):
        public_forms.demand_consistent(replace(before, root=b"x" * 32), after, path)
    with pytest.raises(public_forms.Refused, match="does not continue"):
        public_forms.demand_consistent(before, after, [*path, b"x" * 32])


def test_a_signature_vouches_for_the_checkpoint() -> None:
    assert verify(proof(7, 300), LEAVES[7]) == public_forms.Trust([LOG.name])


def test_one_changed_byte_anywhere_is_refused() -> None:
    good = proof(7, 300)
    for at in range(0, len(good), 7):
        changed = bytearray(good)
        changed[at] ^= 0x01
        with pytest.raises(public_forms.Refused):
            verify(bytes(changed), LEAVES[7])


BREAKS = {
    "carriage returns": (b"\n", b"\r\n"),
    "a leading zero": (b"index 7\n", b"index 07\n"),
    "a sign": (b"index 7\n", b"index +7\n"),
    "a size with a leading zero": (b"\n300\n", b"\n0300\n"),
    "a blank line": (b"index 7\n", b"index 7\n\n"),
    "another first line": (b"tlog-proof@v1", b"tlog-proof@v2"),
    "a hyphen in place of the dash": ("\u2014 ".encode(), b"- "),
    "an index beyond the log": (b"index 7\n", b"index 300\n"),
    "base64 with unused bits": (b"=\n", b"\n"),
    "a blank in base64": (b"=\n", b"= \n"),
    "another size": (b"\n300\n", b"\n301\n"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_proof_that_two_readers_may_read_differently_is_refused(name: str) -> None:
    good = proof(7, 300)
    assert BREAKS[name][0] in good
    with pytest.raises(public_forms.Refused):
        verify(good.replace(*BREAKS[name]), LEAVES[7])


def test_a_key_that_the_policy_does_not_name_vouches_for_nothing() -> None:
    other = f"log {log_keys.new(LOG.name).verifier_key}\nquorum none\n".encode()
    with pytest.raises(public_forms.Refused, match="no key of the log in the policy has signed"):
        verify(proof(7, 300), LEAVES[7], other)


def test_signatures_of_other_kinds_are_kept_and_count_for_nothing() -> None:
    line = forms.signature_line(LOG.name, b"\x01\x02\x03\x04", b"m" * 2420)
    with_another = proof(7, 300) + line.encode() + b"\n"
    assert len(public_forms.parse_proof(with_another).checkpoint.note.signatures) == 2
    assert verify(with_another, LEAVES[7]).logs == [LOG.name]


def test_a_policy_that_is_not_understood_is_refused() -> None:
    for policy in (b"", b"quorum none\n", POLICY + b"quorum none\n", POLICY.replace(b"none", b"nobody")):
        with pytest.raises(public_forms.Refused):
            public_forms.parse_policy(policy)
    with pytest.raises(public_forms.Refused, match="names one public key twice"):
        public_forms.parse_policy(POLICY + f"log {LOG.verifier_key}\n".encode())
