"""Sealing small secrets."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import errors
from receiver.crypto import secret_box
from tests import life

OLD, NEW = "the key of last year", "the key of this year"


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_was_sealed_is_opened_again(text: str) -> None:
    box = secret_box.SecretBox([NEW])
    assert box.open(box.seal(text, life.NOW)) == text


def test_a_seal_shows_nothing_of_the_secret_and_is_never_the_same() -> None:
    box = secret_box.SecretBox([NEW])
    first, second = box.seal("whsec_planted", life.NOW), box.seal("whsec_planted", life.NOW)
    assert b"planted" not in first
    assert first != second


def test_an_old_key_opens_while_it_is_listed() -> None:
    sealed = secret_box.SecretBox([OLD]).seal("whsec_1", life.NOW)
    assert secret_box.SecretBox([NEW, OLD]).open(sealed) == "whsec_1"


def test_the_newest_key_seals() -> None:
    sealed = secret_box.SecretBox([NEW, OLD]).seal("whsec_1", life.NOW)
    assert secret_box.SecretBox([NEW]).open(sealed) == "whsec_1"


def test_another_key_opens_nothing() -> None:
    sealed = secret_box.SecretBox([OLD]).seal("whsec_1", life.NOW)
    with pytest.raises(errors.SecretNotDecrypted, match="RUNLEDGER_SECRET_KEYS"):
        secret_box.SecretBox([NEW]).open(sealed)


@given(sealed=st.binary(max_size=200))
def test_any_other_bytes_are_one_kind_of_failure(sealed: bytes) -> None:
    with pytest.raises(errors.SecretNotDecrypted):
        secret_box.SecretBox([NEW]).open(sealed)


@given(at=st.integers(min_value=0), flip=st.integers(min_value=1, max_value=255))
def test_a_seal_that_was_changed_anywhere_does_not_open(at: int, flip: int) -> None:
    box = secret_box.SecretBox([NEW])
    # Of what base64 stands for: of its own last letter not every bit counts.
    sealed = bytearray(base64.urlsafe_b64decode(box.seal("whsec_1", life.NOW)))
    sealed[at % len(sealed)] ^= flip
    with pytest.raises(errors.SecretNotDecrypted):
        box.open(base64.urlsafe_b64encode(sealed))
