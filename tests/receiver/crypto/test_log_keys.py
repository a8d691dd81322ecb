"""Keys of the log, in the forms of Go's `sumdb/note`."""

from __future__ import annotations

import base64

import pytest

from receiver.crypto import log_keys

#: The key of the package documentation of golang.org/x/mod/sumdb/note.
PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="


def test_a_key_signs_as_the_documentation_of_the_form_shows() -> None:
    signer = log_keys.parse(PRIVATE)
    assert signer.verifier_key == PUBLIC
    assert signer.line(TEXT) == f"\u2014 PeterNeumann {SIGNATURE}"


def test_a_new_key_is_read_back() -> None:
    made = log_keys.new("runledger.example/log")
    assert log_keys.parse(made.private_text).verifier_key == made.verifier_key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PRIVATE+KEY+",
        PUBLIC,
        PRIVATE[:-4],
        PRIVATE.replace("c74f20a3", "c74f20a4"),
        PRIVATE.replace("Peter", "P "),
    ],
)
def test_a_key_that_was_copied_in_part_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(log_keys.BadLogKey) as refused:
        log_keys.parse(text)
    assert "AYEKFALVFGyN" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "with a blank", "a+b", "ä", "x" * 129])
def test_a_name_that_notes_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(log_keys.BadLogKey):
        log_keys.new(name)


def test_a_public_key_verifies_what_the_private_one_signed() -> None:
    signature = base64.b64decode(SIGNATURE)[4:]
    key = log_keys.parse_public(PUBLIC, log_keys.ED25519)
    assert key.text == PUBLIC
    assert [key.has_signed(text.encode(), signature) for text in (TEXT, TEXT + "\n")] == [True, False]


@pytest.mark.parametrize(
    "text",
    ["", "PeterNeumann", PUBLIC[:-1], PUBLIC.replace("c74f20a3", "C74F20A3"), f"{PUBLIC[:-1]}X", PRIVATE, "a+b+"],
)
def test_what_is_not_one_whole_public_key_of_its_kind_is_refused(text: str) -> None:
    with pytest.raises(log_keys.BadLogKey):
        log_keys.parse_public(text, log_keys.ED25519)
    with pytest.raises(log_keys.BadLogKey):
        log_keys.parse_public(PUBLIC, log_keys.COSIGNATURE)
