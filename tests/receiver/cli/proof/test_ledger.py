"""Keys, checkpoints and proofs, each printed alone."""

from __future__ import annotations

import json

from receiver.crypto import log_keys
from receiver.verifier import public_forms
from storage.engine.database import Database
from storage.ledger import checkpoints
from tests import life
from tests.receiver.cli.terminal import Terminal


def signed(terminal: Terminal) -> None:
    """Make an entry, and sign a checkpoint as the server would."""
    terminal.type("keys", "create", "backend", "--scope", "read")
    name = terminal.type("ledger", "key").out.partition("+")[0]

    async def sign(database: Database) -> None:
        key = log_keys.new(name)
        await database.write(checkpoints.sign_next, name, lambda text: [key.line(text)], life.NOW)

    terminal.in_database(sign)


def test_a_key_is_made_once_and_named_after_the_public_address(new_terminal: Terminal) -> None:
    first = new_terminal.type("ledger", "key").out
    assert first == new_terminal.type("ledger", "key").out
    assert public_forms.parse_key(first.strip()).kind == public_forms.ED25519
    assert new_terminal.type("ledger", "policy").out == f"log {first}quorum none\n"


def test_a_new_key_is_printed_for_the_settings(new_terminal: Terminal) -> None:
    made = new_terminal.type("ledger", "key", "--new", "--name", "runledger.example.com/ledger").out.strip()
    assert log_keys.parse(made).name == "runledger.example.com/ledger"
    refused = new_terminal.type("ledger", "key", "--new", "--name", "two words")
    assert (refused.code, refused.out) == (1, "")
    assert "neither blank nor plus" in refused.err


def test_before_the_first_checkpoint_the_error_names_what_signs_one(new_terminal: Terminal) -> None:
    new_terminal.type("keys", "create", "backend", "--scope", "read")
    assert "a running server signs one" in new_terminal.type("ledger", "checkpoint").err
    assert "no entry with the number 0" in new_terminal.type("ledger", "prove", "0").err
    assert "no entry with the number 7" in new_terminal.type("ledger", "leaf", "7").err


def test_a_proof_and_its_leaf_are_printed_as_verifiers_take_them(new_terminal: Terminal) -> None:
    signed(new_terminal)
    proof = public_forms.parse_proof(new_terminal.type("ledger", "prove", "0").out.encode())
    leaf = new_terminal.type("ledger", "leaf", "0").out
    public_forms.demand_included(leaf.encode(), proof)
    assert json.loads(leaf)["kind"] == "key.created"
    shown = public_forms.parse_checkpoint(new_terminal.type("ledger", "checkpoint").out.encode())
    assert shown == proof.checkpoint
