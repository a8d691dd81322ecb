"""The auditor's verifier says of each case of the corpus what the corpus says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from receiver.cli.proof import verify
from receiver.verifier import ed25519, public_forms
from receiver.verifier.store import signatures
from tests.vectors.ledger import cases, corpus

CASES = {each.name: each for each in corpus.read()}


def test_the_file_is_what_the_cases_make() -> None:
    assert corpus.FILE.read_bytes() == corpus.made(), "run python -m tests.vectors.ledger"
    assert len(CASES) == len(list(cases.every()))


def verdict(case: cases.Case) -> str:
    """Return what the verifier says."""
    try:
        policy, proof = public_forms.parse_policy(case.policy), public_forms.parse_proof(case.proof)
        public_forms.trust(proof.checkpoint, policy, ed25519.verify)
        public_forms.demand_included(case.leaf, proof)
    except public_forms.Refused:
        return "refused"
    return "accepted"


def is_trusted_alone(case: cases.Case) -> bool:
    """Return whether the verifier for auditors trusts the checkpoint of a case, whatever the quorum is."""
    policy, proof = public_forms.parse_policy(case.policy), public_forms.parse_proof(case.proof)
    try:
        public_forms.trust(proof.checkpoint, replace(policy, quorum="none"), ed25519.verify)
    except public_forms.Refused:
        return False
    return True


@pytest.mark.parametrize("name", CASES)
def test_the_verifier_of_a_store_trusts_the_same_checkpoints(name: str) -> None:
    case = CASES[name]
    try:
        policy, proof = public_forms.parse_policy(case.policy), public_forms.parse_proof(case.proof)
    except public_forms.Refused:
        return  # both read with these functions
    trusted = signatures.Trusted(policy, verify.is_signed)  # another implementation of Ed25519
    assert is_trusted_by_the_store(proof.checkpoint, case, trusted) is is_trusted_alone(case)


def is_trusted_by_the_store(
    checkpoint: public_forms.Checkpoint, case: cases.Case, trusted: signatures.Trusted
) -> bool:
    """Return whether the verifier of a store finds nothing wrong with the signatures, those of witnesses too."""
    text, lines = checkpoint.note.text, case.proof.rpartition(b"\n\n")[2].decode().splitlines()
    for line in lines:
        try:
            signatures.cosigner(text, line, trusted)
        except LookupError:
            continue  # of no witness of the policy
        except public_forms.Refused:
            return False
    return not [*signatures.faults(checkpoint, trusted)]


@pytest.mark.parametrize("name", CASES)
def test_the_verifier_says_what_the_corpus_says(name: str) -> None:
    assert verdict(CASES[name]) == CASES[name].verdict
