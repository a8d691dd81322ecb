"""Sealing small secrets."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import errors, vault
from tests import life

OLD, NEW = "the key of last year", "the key of this year"


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_was_sealed_is_opened_again(text: str) -> None:
    box = vault.Vault([NEW])
    assert box.open(box.seal(text, life.NOW)) == text


def test_a_seal_shows_nothing_of_the_secret_and_is_never_the_same() -> None:
    box = vault.Vault([NEW])
    first, second = box.seal("whsec_planted", life.NOW), box.seal("whsec_planted", life.NOW)
    assert b"planted" not in first
    assert first != second


def test_an_old_key_opens_while_it_is_listed() -> None:
    sealed = vault.Vault([OLD]).seal("whsec_1", life.NOW)
    assert vault.Vault([NEW, OLD]).open(sealed) == "whsec_1"


def test_the_newest_key_seals() -> None:
    sealed = vault.Vault([NEW, OLD]).seal("whsec_1", life.NOW)
    assert vault.Vault([NEW]).open(sealed) == "whsec_1"


def test_another_key_opens_nothing() -> None:
    sealed = vault.Vault([OLD]).seal("whsec_1", life.NOW)
    with pytest.raises(errors.BadSeal, match="RUNLEDGER_SECRET_KEYS"):
        vault.Vault([NEW]).open(sealed)


@given(sealed=st.binary(max_size=200))
def test_any_other_bytes_are_one_kind_of_failure(sealed: bytes) -> None:
    with pytest.raises(errors.BadSeal):
        vault.Vault([NEW]).open(sealed)


@given(at=st.integers(min_value=0), flip=st.integers(min_value=1, max_value=255))
def test_a_seal_that_was_changed_anywhere_does_not_open(at: int, flip: int) -> None:
    box = vault.Vault([NEW])
    # Of what base64 stands for: of its own last letter not every bit counts.
    sealed = bytearray(base64.urlsafe_b64decode(box.seal("whsec_1", life.NOW)))
    sealed[at % len(sealed)] ^= flip
    with pytest.raises(errors.BadSeal):
        box.open(base64.urlsafe_b64encode(sealed))
