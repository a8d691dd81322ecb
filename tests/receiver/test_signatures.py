"""Verification of platform events, against vectors, the reference library, and anything at all."""

from __future__ import annotations

import base64
import datetime
import json
import pathlib
from typing import Any

import hypothesis
import pytest
import standardwebhooks
from hypothesis import strategies

from receiver import errors, signatures

VECTORS = json.loads((pathlib.Path(__file__).parents[1] / "data" / "signature-vectors.json").read_text())[
    "vectors"
]
TEXT = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER = signatures.decode("whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=")
SECRET = signatures.decode(TEXT)
NOW = 1_795_435_200
BODY = b'{"id":"evt_1"}'
SIGNATURE = signatures.sign(SECRET.key, "dlv_1", str(NOW), BODY)
ids = strategies.text(strategies.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=256)
anything = strategies.none() | strategies.text(strategies.characters())
modest = hypothesis.settings(max_examples=100, deadline=None)


def verify(
    body: bytes = BODY,
    delivery_id: str | None = "dlv_1",
    timestamp: str | None = str(NOW),
    signature: str | None = SIGNATURE,
    now: float = NOW,
) -> signatures.Verified:
    return signatures.verify(body, delivery_id, timestamp, signature, [OTHER, SECRET], now)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_vector_is_judged_as_it_says(vector: dict[str, Any]) -> None:
    secrets = [signatures.decode(secret) for secret in vector["secrets"]]
    names = (signatures.ID_HEADER, signatures.TIMESTAMP_HEADER, signatures.SIGNATURE_HEADER)
    delivery_id, timestamp, signature = (vector["headers"].get(name) for name in names)
    try:
        signatures.verify(vector["body"].encode(), delivery_id, timestamp, signature, secrets, vector["now"])
        valid = True
    except errors.BadSignature:
        valid = False
    assert valid == vector["valid"]


@modest
@hypothesis.given(strategies.binary(), ids, strategies.integers(0, 10**12 - 1))
def test_what_is_validly_signed_verifies(body: bytes, delivery_id: str, at: int) -> None:
    signature = signatures.sign(SECRET.key, delivery_id, str(at), body)
    verified = verify(body, delivery_id, str(at), signature, now=at)
    assert verified == signatures.Verified(delivery_id, at, SECRET.name)


@modest
@hypothesis.given(strategies.text(), ids)
def test_what_the_reference_library_signs_verifies(body: str, delivery_id: str) -> None:
    moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    signature = standardwebhooks.Webhook(TEXT).sign(delivery_id, moment, body)
    assert verify(body.encode(), delivery_id, signature=signature).secret == SECRET.name


@modest
@hypothesis.given(strategies.binary(), anything, anything, anything)
def test_anything_else_is_a_bad_signature(
    body: bytes, one: str | None, two: str | None, three: str | None
) -> None:
    with pytest.raises(errors.BadSignature):
        verify(body, one, two, three)


@modest
@hypothesis.given(strategies.binary(), ids, strategies.text("0123456789", min_size=1, max_size=12), anything)
def test_well_formed_headers_without_a_signature_are_refused(
    body: bytes, delivery_id: str, timestamp: str, signature: str | None
) -> None:
    with pytest.raises(errors.BadSignature) as caught:
        verify(body, delivery_id, timestamp, signature)
    assert not isinstance(caught.value, errors.OutsideTolerance)


@modest
@hypothesis.given(strategies.integers(0, len(BODY) - 1), strategies.integers(1, 255))
def test_a_flipped_byte_never_verifies(place: int, flip: int) -> None:
    changed = bytearray(BODY)
    changed[place] ^= flip
    with pytest.raises(errors.BadSignature, match="no value matches"):
        verify(bytes(changed))


@modest
@hypothesis.given(strategies.integers(3, len(SIGNATURE) - 1), strategies.characters(codec="ascii"))
def test_a_changed_character_of_the_signature_never_verifies(place: int, other: str) -> None:
    hypothesis.assume(SIGNATURE[place] != other)
    with pytest.raises(errors.BadSignature):
        verify(signature=SIGNATURE[:place] + other + SIGNATURE[place + 1 :])


@pytest.mark.parametrize(
    "timestamp",
    ["", "+5", "-5", " 5", "5 ", "5\n", "٣", "1e3", "0x5", "5.0", "1_000", "nan", "9" * 13, "9" * 5000, "²"],
)
def test_odd_timestamps_are_refused_though_signed(timestamp: str) -> None:
    signature = signatures.sign(SECRET.key, "dlv_1", timestamp, BODY)
    with pytest.raises(errors.BadSignature, match="timestamp"):
        verify(timestamp=timestamp, signature=signature)


@pytest.mark.parametrize("delivery_id", ["", " ", "é", "a b", "a\n", "a" * 257])
def test_odd_delivery_ids_are_refused_though_signed(delivery_id: str) -> None:
    signature = signatures.sign(SECRET.key, delivery_id, str(NOW), BODY)
    with pytest.raises(errors.BadSignature, match="id"):
        verify(delivery_id=delivery_id, signature=signature)


@pytest.mark.parametrize("drift", [-300, 300, 300.0])
def test_the_tolerance_is_five_minutes_both_ways(drift: float) -> None:
    assert verify(now=NOW + drift).timestamp == NOW


@pytest.mark.parametrize("drift", [-301, 301, 300.5, 10**9])
def test_a_valid_signature_at_a_wrong_time_is_told_apart(drift: float) -> None:
    with pytest.raises(errors.OutsideTolerance) as caught:
        verify(now=NOW + drift)
    assert caught.value.secret == SECRET.name


def test_a_wrong_signature_at_a_wrong_time_is_just_bad() -> None:
    with pytest.raises(errors.BadSignature) as caught:
        verify(body=b"other", now=NOW + 1000)
    assert not isinstance(caught.value, errors.OutsideTolerance)


def test_one_good_value_among_others_is_enough() -> None:
    assert verify(signature=f"v1a,AAAA  v1,AAAA {SIGNATURE} v2,").secret == SECRET.name


def test_only_the_first_sixteen_values_are_looked_at() -> None:
    assert verify(signature="v1,A " * 15 + SIGNATURE)
    with pytest.raises(errors.BadSignature):
        verify(signature="v1,A " * 16 + SIGNATURE)


def test_a_header_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(errors.BadSignature, match="no usable"):
        verify(signature=SIGNATURE + " " * 5000)


def test_no_secret_verifies_nothing() -> None:
    with pytest.raises(errors.BadSignature):
        signatures.verify(BODY, "dlv_1", str(NOW), SIGNATURE, [], NOW)


@pytest.mark.parametrize(
    ("text", "encoding", "key"),
    [
        ("whsec_AAEC", "base64", b"\x00\x01\x02"),
        (" whsec_AA \n", "base64", b"\x00"),
        ("AA==", "base64", b"\x00"),
        ("whsec_0a0B", "hex", b"\x0a\x0b"),
        ("whsec_plain text", "raw", b"plain text"),
    ],
)
def test_a_secret_decodes_by_its_encoding(text: str, encoding: str, key: bytes) -> None:
    assert signatures.decode(text, encoding).key == key


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("whsec_A", "base64"), ("whsec_A!==", "base64"), ("whsec_é", "base64"), ("whsec_xyz", "hex"),
        ("whsec_", "base64"), ("", "raw"), ("\ud800", "raw"), ("whsec_AAEC", "base32"),
    ],
)  # fmt: skip
def test_a_secret_that_does_not_decode_is_an_error_of_the_settings(text: str, encoding: str) -> None:
    with pytest.raises(errors.SettingsError, match="RUNLEDGER_WEBHOOK_"):
        signatures.decode(text, encoding)


def test_neither_the_repr_nor_the_name_shows_the_key() -> None:
    assert base64.b64encode(SECRET.key).decode() not in repr(SECRET)
    assert repr(SECRET) == f"Secret(name='{SECRET.name}')"
