"""The auditor's verifier says of each case of the corpus what the corpus says."""

from __future__ import annotations

import pytest

from receiver.verifier import ed25519, public_forms
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


@pytest.mark.parametrize("name", CASES)
def test_the_verifier_says_what_the_corpus_says(name: str) -> None:
    assert verdict(CASES[name]) == CASES[name].verdict
