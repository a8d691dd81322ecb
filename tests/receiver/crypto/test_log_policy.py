"""The policy of a ledger as the verifier reads it, while keys are rotated and with witnesses."""

from __future__ import annotations

from pathlib import Path

import pytest

from receiver import errors, settings, signing_keys
from receiver.crypto import log_keys
from receiver.verifier import ed25519, public_forms
from storage.ledger import forms
from tests import witness

NEW, OLD = log_keys.new("runledger.test/ledger"), log_keys.new("runledger.test/ledger")
WITNESSES = [witness.Key(f"witness.test/{number}") for number in range(3)]
LISTED = ", ".join(f"https://{each.name} {each.verifier_key}" for each in WITNESSES)


def policy(**given: str) -> public_forms.Policy:
    """Return the policy of settings, as an auditor's program reads it."""
    return public_forms.parse_policy(signing_keys.policy(settings.load(None, **given)).text.encode())


def checkpoint(*signers: log_keys.Signer, witnesses: int = 0) -> public_forms.Checkpoint:
    text = forms.checkpoint_text(NEW.name, 1, b"r" * 32)
    lines = [each.line(text) for each in signers] + [each.line(text, 7) for each in WITNESSES[:witnesses]]
    return public_forms.parse_checkpoint(forms.signed(text, lines).encode())


def test_while_keys_are_rotated_both_sign_and_either_signature_is_trusted() -> None:
    given = settings.load(None, ledger_keys=f"{NEW.private_text},{OLD.private_text}")
    trusted = public_forms.parse_policy(signing_keys.policy(given).text.encode())
    signers = signing_keys.of_ledger(given)
    assert [each.verifier_key for each in signers] == [NEW.verifier_key, OLD.verifier_key]
    assert public_forms.trust(checkpoint(*signers), trusted, ed25519.verify).logs == [NEW.name, OLD.name]


def test_a_public_key_signs_no_more_and_what_it_signed_stays_trusted() -> None:
    listed = f"{NEW.private_text} {OLD.verifier_key}"
    assert len(signing_keys.of_ledger(settings.load(None, ledger_keys=listed))) == 1
    trusted = policy(ledger_keys=listed)
    assert public_forms.trust(checkpoint(OLD), trusted, ed25519.verify).logs == [OLD.name]
    assert public_forms.trust(checkpoint(NEW), trusted, ed25519.verify).logs == [NEW.name]


def test_more_than_half_of_the_witnesses_are_demanded_unless_a_number_is_set(tmp_path: Path) -> None:
    given = {"ledger_keys": NEW.private_text, "ledger_witnesses": LISTED}
    found = public_forms.trust(checkpoint(NEW, witnesses=2), policy(**given), ed25519.verify)
    assert list(found.witnesses.values()) == [7, 7]
    with pytest.raises(public_forms.Refused, match="the witnesses of the quorum"):
        public_forms.trust(checkpoint(NEW, witnesses=1), policy(**given), ed25519.verify)
    with pytest.raises(public_forms.Refused, match="the witnesses of the quorum"):
        public_forms.trust(checkpoint(NEW, witnesses=2), policy(**given, ledger_quorum="3"), ed25519.verify)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ledger_keys": NEW.verifier_key}, "LEDGER_KEYS: there are public keys alone"),
        ({"ledger_keys": f"{NEW.private_text} {NEW.verifier_key}"}, "LEDGER_KEYS: a key is listed twice"),
        (
            {"ledger_keys": f"{NEW.private_text} {log_keys.new('other').private_text}"},
            "LEDGER_KEYS: all keys",
        ),
        ({"ledger_witnesses": "https://witness.test"}, "LEDGER_WITNESSES: each witness is an address and a key"),
        ({"ledger_witnesses": f"{WITNESSES[0].verifier_key} https://a"}, "LEDGER_WITNESSES: each witness is an"),
        ({"ledger_witnesses": f"ftp://a {WITNESSES[0].verifier_key}"}, "LEDGER_WITNESSES: each witness is an"),
        ({"ledger_witnesses": f"https://a {NEW.verifier_key}"}, "LEDGER_WITNESSES: a public key of a witness"),
        ({"ledger_witnesses": f"{LISTED} {LISTED}"}, "LEDGER_WITNESSES: each witness is listed once"),
        ({"ledger_witnesses": LISTED, "ledger_quorum": "4"}, "LEDGER_QUORUM is 4, and there are 3 witnesses"),
        ({"ledger_quorum": "1"}, "LEDGER_QUORUM is 1, and there are 0 witnesses"),
        ({"ledger_quorum": "none"}, "LEDGER_QUORUM: must be a whole number"),
    ],
)
def test_keys_and_witnesses_that_cannot_be_meant_are_named_at_the_start(given: dict[str, str], said: str) -> None:
    with pytest.raises(errors.SettingsError, match=said):
        settings.load(None, **given)
