"""Verification of platform events, against vectors, the reference library, and anything at all."""

from __future__ import annotations

import base64
import datetime
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import hypothesis
import pytest
import standardwebhooks
from hypothesis import strategies

from receiver import errors
from receiver.crypto import signatures

VECTORS = json.loads((pathlib.Path(__file__).parents[2] / "data" / "signature-vectors.json").read_text())[
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
    secrets: Sequence[signatures.Secret] = (OTHER, SECRET),
) -> signatures.Verified:
    check = signatures.Check(signatures.SignatureHeaders(delivery_id, timestamp, signature), secrets)
    check.update(body)
    return check.verified(now)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_vector_has_the_result_that_it_names(vector: dict[str, Any]) -> None:
    secrets = [signatures.decode(secret) for secret in vector["secrets"]]
    names = (signatures.ID_HEADER, signatures.TIMESTAMP_HEADER, signatures.SIGNATURE_HEADER)
    delivery_id, timestamp, signature = (vector["headers"].get(name) for name in names)
    try:
        verify(vector["body"].encode(), delivery_id, timestamp, signature, vector["now"], secrets)
        valid = True
    except errors.BadSignature:
        valid = False
    assert valid == vector["valid"]


@modest
@hypothesis.given(strategies.binary(), ids, strategies.integers(0, 10**11 - 1))
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
@hypothesis.given(strategies.integers(3, len(SIGNATURE) - 2), strategies.sampled_from("ABCxyz019+/*."))
def test_a_changed_character_of_the_signature_never_verifies(place: int, other: str) -> None:
    hypothesis.assume(SIGNATURE[place] != other)
    with pytest.raises(errors.BadSignature):
        verify(signature=SIGNATURE[:place] + other + SIGNATURE[place + 1 :])


@pytest.mark.parametrize(
    "timestamp",
    [
        f"{NOW}000", f"{NOW}123456", f"{NOW}123456789", f"{NOW}.0", f"{NOW}.999", f" {NOW} ", f'"{NOW}"',
        "2026-11-23T12:00:00Z", "2026-11-23T13:00:00.25+01:00", "Mon, 23 Nov 2026 12:00:00 GMT",
    ],
)  # fmt: skip
def test_a_time_that_is_signed_is_read_in_each_of_its_forms(timestamp: str) -> None:
    signature = signatures.sign(SECRET.key, "dlv_1", timestamp, BODY)
    assert verify(timestamp=timestamp, signature=signature).timestamp == NOW


@pytest.mark.parametrize(
    "timestamp", ["", "+5", "-5", "٣", "1e3", "0x5", "1_000", "nan", "inf", "9" * 5000, "²", "soon", "é", "\ud800"]
)
def test_a_time_whose_form_cannot_be_read_is_unknown_and_no_forgery(timestamp: str) -> None:
    signature = signatures.sign(SECRET.key, "dlv_1", timestamp.encode("utf-8", "replace").decode(), BODY)
    timestamp = timestamp.encode("utf-8", "replace").decode()
    with pytest.raises(errors.OutsideTolerance) as caught:
        verify(timestamp=timestamp, signature=signature)
    assert (caught.value.skew, caught.value.secret) == (None, SECRET.name)


@pytest.mark.parametrize("delivery_id", ["", " ", "é", "a b", "a\t", "a" * 5000, "dlv,1"])
def test_an_odd_delivery_id_is_genuine_where_it_is_signed(delivery_id: str) -> None:
    signature = signatures.sign(SECRET.key, delivery_id, str(NOW), BODY)
    assert verify(delivery_id=delivery_id, signature=signature).secret == SECRET.name


def test_a_header_that_is_missing_is_signed_as_nothing() -> None:
    without_id = signatures.sign(SECRET.key, "", str(NOW), BODY)
    assert verify(delivery_id=None, signature=without_id).secret == SECRET.name
    without_time = signatures.sign(SECRET.key, "dlv_1", "", BODY)
    with pytest.raises(errors.OutsideTolerance):
        verify(timestamp=None, signature=without_time)


def test_headers_that_a_proxy_has_joined_are_read_as_one() -> None:
    twice = f"{SIGNATURE}, {SIGNATURE}"
    assert verify(delivery_id="dlv_1, dlv_1", timestamp=f"{NOW}, {NOW}", signature=twice).delivery_id == "dlv_1"
    with pytest.raises(errors.BadSignature):
        verify(delivery_id="dlv_1, dlv_2", timestamp=f"{NOW}, {NOW}")


MAC = base64.b64decode(SIGNATURE.removeprefix("v1,"))


@pytest.mark.parametrize(
    "spelled",
    [
        SIGNATURE, f"  {SIGNATURE}\t", f'"{SIGNATURE}"', SIGNATURE.rstrip("="), SIGNATURE.replace("v1,", "v1="),
        SIGNATURE.replace("v1,", "V1, "), SIGNATURE.replace("v1,", ""), f"v1,AAAA,{SIGNATURE},v1,BBBB",
        f"v2,AAAA\n{SIGNATURE}",
        "v1," + base64.urlsafe_b64encode(MAC).decode(), f"v1,{MAC.hex()}", MAC.hex().upper(),
    ],
)  # fmt: skip
def test_a_signature_verifies_in_each_of_its_spellings(spelled: str) -> None:
    assert verify(signature=spelled).secret == SECRET.name


def test_a_signature_may_come_under_the_names_of_the_scheme() -> None:
    for family in ("case-webhook", "webhook", "svix"):
        headers = {f"{family}-id": "dlv_1", f"{family}-timestamp": str(NOW), f"{family}-signature": SIGNATURE}
        check = signatures.Check(signatures.signature_headers({**headers, "webhook-ids": "x"}), [SECRET])
        check.update(BODY)
        assert check.verified(NOW).secret == SECRET.name
    assert signatures.signature_headers({"case-webhook-id": "dlv_1"}) == signatures.SignatureHeaders(
        "dlv_1", None, None
    )


def test_a_body_is_checked_in_pieces_as_it_is_in_one() -> None:
    check = signatures.Check(signatures.SignatureHeaders("dlv_1", str(NOW), SIGNATURE), [OTHER, SECRET])
    for byte in BODY:
        check.update(bytes([byte]))
    assert check.verified(NOW) == verify()


@pytest.mark.parametrize("drift", [-300, 300, 300.0])
def test_the_tolerance_is_five_minutes_both_ways(drift: float) -> None:
    assert verify(now=NOW + drift).timestamp == NOW


@pytest.mark.parametrize("drift", [-301, 301, 300.5, 10**9])
def test_a_valid_signature_at_a_wrong_time_has_an_error_of_its_own(drift: float) -> None:
    with pytest.raises(errors.OutsideTolerance) as caught:
        verify(now=NOW + drift)
    assert caught.value.secret == SECRET.name


def test_a_wrong_signature_at_a_wrong_time_is_just_bad() -> None:
    with pytest.raises(errors.BadSignature) as caught:
        verify(body=b"other", now=NOW + 1000)
    assert not isinstance(caught.value, errors.OutsideTolerance)


def test_one_good_value_among_others_is_enough() -> None:
    assert verify(signature=f"v1a,AAAA  v1,AAAA {SIGNATURE} v2,").secret == SECRET.name


def test_a_value_of_another_version_vouches_for_nothing() -> None:
    for version in ("v2", "v1a", "V10"):
        with pytest.raises(errors.BadSignature):
            verify(signature=SIGNATURE.replace("v1", version))


def test_a_signature_is_found_among_however_many_others() -> None:
    assert verify(signature="v1,A " * 10_000 + SIGNATURE + f" v1,{'A' * 43}=" * 1_000).secret == SECRET.name


def test_without_a_secret_nothing_verifies() -> None:
    with pytest.raises(errors.BadSignature):
        verify(secrets=[])


LONG = bytes(range(240, 264 - 8)) * 2  # its base64 has both characters that are spelled in two ways


@pytest.mark.parametrize(
    ("text", "encoding", "key"),
    [
        ("whsec_" + base64.b64encode(LONG).decode(), "base64", LONG),
        (" whsec_" + base64.urlsafe_b64encode(LONG).decode() + " \n", "base64", LONG),
        (base64.b64encode(LONG[:25]).decode().rstrip("="), "base64", LONG[:25]),
        ("whsec_" + LONG.hex().upper(), "hex", LONG),
        ("whsec_plain text, which is long", "raw", b"plain text, which is long"),
        ("whsec_" + "é" * 12, "raw", "é".encode() * 12),
    ],
)
def test_a_secret_decodes_by_its_encoding(text: str, encoding: str, key: bytes) -> None:
    assert signatures.decode(text, encoding).key == key


@pytest.mark.parametrize(
    ("text", "encoding"), [("whsec_" + base64.b64encode(b"k" * 23).decode(), "base64"), ("v1", "base64"),
                           ("ab" * 23, "hex"), ("k" * 23, "raw"), ("whsec_", "base64"), ("", "raw")],
)  # fmt: skip
def test_a_secret_that_can_be_guessed_is_none(text: str, encoding: str) -> None:
    with pytest.raises(errors.ShortSecret, match="RUNLEDGER_WEBHOOK_SECRETS holds a secret of") as caught:
        signatures.decode(text, encoding)
    assert "24 are the least" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("whsec_A", "base64"), ("whsec_A!==", "base64"), ("whsec_é", "base64"), ("whsec_xyz", "hex"),
        (f"whsec_{'A' * 20}=={'A' * 20}", "base64"), ("\ud800" * 24, "raw"), ("whsec_AAEC", "base32"),
    ],
)  # fmt: skip
def test_a_secret_that_does_not_decode_is_an_error_of_the_settings(text: str, encoding: str) -> None:
    with pytest.raises(errors.SettingsError, match="RUNLEDGER_WEBHOOK_"):
        signatures.decode(text, encoding)


def test_neither_the_repr_nor_the_name_shows_the_key() -> None:
    assert base64.b64encode(SECRET.key).decode() not in repr(SECRET)
    assert repr(SECRET) == f"Secret(name='{SECRET.name}')"
