"""Tokens of callback addresses."""

from __future__ import annotations

import string
import urllib.parse
import uuid

import hypothesis
import pytest
from hypothesis import strategies

from receiver import errors
from receiver.crypto import tokens

RUN = "0199d6f0-1c5a-7c3e-9d53-2f6a0e1b7c44"
SIGNER = tokens.Signer(["newest key", "older key"])
ALPHABET = string.ascii_letters + string.digits + "-_.=%/ é"
modest = hypothesis.settings(max_examples=100, deadline=None)


@modest
@hypothesis.given(strategies.uuids())
def test_a_token_leads_back_to_its_run(run: uuid.UUID) -> None:
    assert SIGNER.run_id(SIGNER.token(str(run))) == str(run)


@modest
@hypothesis.given(strategies.uuids())
def test_a_token_needs_no_escaping_in_a_path(run: uuid.UUID) -> None:
    token = SIGNER.token(str(run))
    assert urllib.parse.quote(token, safe="") == token


@modest
@hypothesis.given(strategies.text())
def test_no_other_string_is_a_token(text: str) -> None:
    with pytest.raises(errors.BadToken):
        SIGNER.run_id(text)


@modest
@hypothesis.given(strategies.data())
def test_a_changed_character_never_verifies(data: strategies.DataObject) -> None:
    token = SIGNER.token(RUN)
    place = data.draw(strategies.integers(0, len(token) - 1))
    other = data.draw(strategies.sampled_from(ALPHABET.replace(token[place], "")))
    with pytest.raises(errors.BadToken):
        SIGNER.run_id(token[:place] + other + token[place + 1 :])


@pytest.mark.parametrize("place", range(-2, 0))
def test_a_signature_has_one_spelling_only(place: int) -> None:
    token = SIGNER.token(RUN)
    for other in (string.ascii_letters + string.digits + "-_").replace(token[place], ""):
        changed = list(token)
        changed[place] = other
        with pytest.raises(errors.BadToken):
            SIGNER.run_id("".join(changed))


@pytest.mark.parametrize(
    "text", ["", ".", "é.é", "\ud800", "a" * 1_000_000, RUN, RUN + "." + "A" * 43, SIGNER.token(RUN) + "\n"]
)
def test_hostile_strings_are_bad_tokens(text: str) -> None:
    with pytest.raises(errors.BadToken):
        SIGNER.run_id(text)


def test_a_token_of_an_older_key_stays_valid_while_the_key_is_listed() -> None:
    token = tokens.Signer(["older key"]).token(RUN)
    assert SIGNER.run_id(token) == RUN
    with pytest.raises(errors.BadToken):
        tokens.Signer(["newest key"]).run_id(token)


def test_the_first_key_signs() -> None:
    assert tokens.Signer(["newest key"]).run_id(SIGNER.token(RUN)) == RUN


@pytest.mark.parametrize("keys", [[], [""], ["good", ""]])
def test_a_signer_without_a_key_is_refused(keys: list[str]) -> None:
    with pytest.raises(errors.SettingsError):
        tokens.Signer(keys)
