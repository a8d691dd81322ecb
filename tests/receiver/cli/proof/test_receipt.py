"""The proofs of a run's entries, printed or written for other people's tools."""

from __future__ import annotations

import json
from pathlib import Path

from receiver.crypto import log_keys
from receiver.verifier import ed25519, public_forms
from storage.engine.database import Database
from storage.ledger import checkpoints
from tests import life
from tests.receiver.cli.terminal import Terminal


def settled(terminal: Terminal) -> str:
    """Settle a run, sign a checkpoint with the key of the folder, and return the run's upstream id."""
    terminal.type("keys", "create", "backend", "--scope", "read")
    terminal.type("ledger", "key")
    key = log_keys.parse((terminal.folder / "ledger.key").read_text().strip())

    async def settle(database: Database) -> None:
        await life.settled_run(database, upstream_id="run_1")
        await database.write(checkpoints.sign_next, key.name, lambda text: [key.line(text)], life.NOW)

    terminal.in_database(settle)
    return "run_1"


def test_the_files_of_a_receipt_are_checked_without_the_store(new_terminal: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "receipt"
    shown = new_terminal.type("receipt", settled(new_terminal), "--to", str(folder))
    assert shown.out == f"4 proofs are in {folder}.\n"
    policy = public_forms.parse_policy((folder / "policy.txt").read_bytes())
    proofs = sorted(folder.glob("*.tlog-proof"))
    assert len(proofs) == 4
    for path in proofs:
        proof = public_forms.parse_proof(path.read_bytes())
        public_forms.trust(proof.checkpoint, policy, ed25519.verify)
        public_forms.demand_included((folder / f"leaf-{path.stem}.json").read_bytes(), proof)


def test_a_table_for_people_and_the_whole_receipt_for_programs(new_terminal: Terminal) -> None:
    run = settled(new_terminal)
    shown = new_terminal.type("receipt", run)
    assert "run.completed" in shown.out
    assert "pending" not in shown.out + shown.err
    found = new_terminal.type("receipt", run, "--json").object
    assert [json.loads(entry["leaf"])["kind"] for entry in found["entries"]][-1] == "run.completed"


def test_entries_without_a_proof_are_named_as_pending(new_terminal: Terminal) -> None:
    run = settled(new_terminal)
    new_terminal.type("tag", run, "client=acme")
    shown = new_terminal.type("receipt", run)
    assert "1 pending" in shown.err
    assert "ask again in a second" in shown.err


def test_a_folder_with_other_files_is_left_alone(new_terminal: Terminal, tmp_path: Path) -> None:
    run = settled(new_terminal)
    shown = new_terminal.type("receipt", run, "--to", str(tmp_path))
    assert shown.code == 1
    assert "is not empty: name a new folder" in shown.err
    (tmp_path / "file").touch()
    assert "file is a file: name a new" in new_terminal.type("receipt", run, "--to", str(tmp_path / "file")).err
