"""Ed25519 in Python alone, held against the library that signs."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.verifier import ed25519

ORDER = 2**252 + 27742317777372353535851937790883648493


@settings(max_examples=10)
@given(secret=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200))
def test_what_the_library_signs_is_verified(secret: bytes, message: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(secret)
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    assert ed25519.verify(public, message, signature)
    assert not ed25519.verify(public, message + b"x", signature)


@pytest.mark.parametrize("place", [0, 31, 32, 63])
def test_a_changed_signature_is_not(place: int) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    changed = bytearray(key.sign(b"message"))
    changed[place] ^= 1
    assert not ed25519.verify(key.public_key().public_bytes_raw(), b"message", bytes(changed))


def test_a_second_spelling_of_a_signature_is_refused() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public, signature = key.public_key().public_bytes_raw(), key.sign(b"message")
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    assert not ed25519.verify(public, b"message", signature[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize("public", [b"", b"x" * 31, b"\xff" * 32, b"\x02" + bytes(31)])
def test_bytes_that_are_no_key_verify_nothing(public: bytes) -> None:
    assert not ed25519.verify(public, b"message", bytes(64))
