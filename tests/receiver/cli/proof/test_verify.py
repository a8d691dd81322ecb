"""`runledger ledger verify`: the verdict, the exit code, and checkpoints that were kept elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from receiver.crypto import log_keys
from storage.engine.database import Database
from storage.ledger import publication
from tests import life
from tests.receiver.cli.terminal import Terminal
from tests.tamper import stores


def filled(terminal: Terminal) -> None:
    """Fill the store, signed with the key that the server keeps."""
    terminal.type("keys", "create", "backend", "--scope", "read")
    terminal.type("ledger", "key")
    signer = log_keys.parse((terminal.folder / "ledger.key").read_text().strip())

    async def fill(database: Database) -> None:
        await life.settled_run(database)
        await stores.sign(database, life.at(1), signer)

    terminal.in_database(fill)


def _execute(connection: Connection, sql: str) -> None:
    connection.execute(text(sql))


def changed(terminal: Terminal, sql: str) -> None:
    async def change(database: Database) -> None:
        await database.write(_execute, sql)

    terminal.in_database(change)


def test_a_store_that_nobody_changed_verifies(new_terminal: Terminal) -> None:
    filled(new_terminal)
    shown = new_terminal.type("ledger", "verify")
    assert (shown.code, shown.out.splitlines()[-1]) == (0, "Nothing is broken.")
    found = new_terminal.type("ledger", "verify", "--json").object
    assert (found["ok"], found["breaks"], found["size"]) == (True, 0, found["signedSize"])


def test_a_break_is_named_and_ends_with_an_error(new_terminal: Terminal) -> None:
    filled(new_terminal)
    changed(new_terminal, "UPDATE runs SET output = 'The lease is valid.'")
    shown = new_terminal.type("ledger", "verify")
    assert shown.code == 1
    assert shown.out.startswith("row_changed")
    assert "1 break: row_changed 1." in shown.out
    found = new_terminal.type("ledger", "verify", "--json")
    assert (found.code, found.object["ok"], found.object["listed"][0]["column"]) == (1, False, "output")


def test_no_more_than_a_hundred_breaks_are_listed_and_all_are_counted(new_terminal: Terminal) -> None:
    filled(new_terminal)
    counted = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)"
    row = "'x' || i, (SELECT id FROM runs), 'orphan', '2026-11-23T12:00:00.000000Z', NULL"
    changed(new_terminal, f"INSERT INTO upstream_links {counted} SELECT {row} FROM n")
    found = new_terminal.type("ledger", "verify", "--json").object
    assert (found["breaks"], len(found["listed"]), found["breaksByCode"]) == (150, 100, {"row_added": 150})


def test_a_checkpoint_that_was_kept_shows_an_older_copy(new_terminal: Terminal, tmp_path: Path) -> None:
    filled(new_terminal)
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "1.txt").write_text(new_terminal.type("ledger", "checkpoint").out)
    (kept / "notes.txt").write_text("no checkpoint")
    assert new_terminal.type("ledger", "verify", "--checkpoint", str(kept / "1.txt")).code == 0
    assert "1 file of" in new_terminal.type("ledger", "verify", "--checkpoint-dir", str(kept)).out
    changed(new_terminal, "DELETE FROM ledger_checkpoints")
    changed(
        new_terminal, "DELETE FROM ledger_entries WHERE leaf_index = (SELECT max(leaf_index) FROM ledger_entries)"
    )
    found = new_terminal.type("ledger", "verify", "--checkpoint-dir", str(kept), "--json").object
    assert found["breaksByCode"]["older_copy"] == 1


def test_what_cannot_be_trusted_is_refused_before_anything_is_read(new_terminal: Terminal, tmp_path: Path) -> None:
    filled(new_terminal)
    (tmp_path / "policy").write_text(f"log {log_keys.new('other/ledger').verifier_key}\nquorum none\n")
    (tmp_path / "checkpoint").write_text(new_terminal.type("ledger", "checkpoint").out)
    options = ["--policy", str(tmp_path / "policy")]
    assert "key_unknown" in new_terminal.type("ledger", "verify", *options).out
    assert kept(new_terminal) == []
    refused = new_terminal.type("ledger", "verify", *options, "--checkpoint", str(tmp_path / "checkpoint"))
    assert (refused.code, refused.out) == (1, "")
    assert "not trusted" in refused.err
    assert (
        "has no checkpoint" in new_terminal.type("ledger", "verify", "--checkpoint", str(tmp_path / "policy")).err
    )


def test_the_outcome_is_kept_for_readiness_and_metrics(new_terminal: Terminal) -> None:
    filled(new_terminal)
    changed(new_terminal, "UPDATE runs SET output = 'The lease is valid.'")
    new_terminal.type("ledger", "verify")
    assert [each.breaks for each in kept(new_terminal)] == [1]
    changed(new_terminal, "UPDATE runs SET output = 'The lease is void.'")
    new_terminal.type("ledger", "verify")
    (found,) = kept(new_terminal)
    assert (found.breaks, found.problem, found.reached_at is None) == (0, None, False)


def kept(terminal: Terminal) -> list[publication.Report]:
    found: list[publication.Report] = []

    async def read(database: Database) -> None:
        found.extend(await database.read(publication.read))

    terminal.in_database(read)
    return [each for each in found if each.subject == publication.VERIFICATION]


def test_a_part_is_verified_and_the_rest_is_named(new_terminal: Terminal) -> None:
    filled(new_terminal)
    assert (
        "Not checked: the bytes of the entries below 2"
        in new_terminal.type("ledger", "verify", "--since", "2").out
    )


def test_a_number_beyond_the_end_is_an_error_and_not_a_verification(new_terminal: Terminal) -> None:
    filled(new_terminal)
    shown = new_terminal.type("ledger", "verify", "--since", "1000")
    assert (shown.code, shown.out) == (2, "")
    assert "--since 1000: the ledger has" in shown.err


def test_checkpoints_of_an_earlier_ledger_verify_by_its_public_key(
    new_terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(new_terminal)
    earlier = log_keys.parse((new_terminal.folder / "ledger.key").read_text().strip())
    later = log_keys.new("runledger.test/ledger-2")

    async def go_on(database: Database) -> None:
        await life.settled_run(database)
        await stores.sign(database, life.at(2), later)

    new_terminal.in_database(go_on)
    monkeypatch.setenv("RUNLEDGER_LEDGER_KEYS", later.private_text)
    assert new_terminal.type("ledger", "verify", "--json").object["breaksByCode"] == {"key_unknown": 1}
    monkeypatch.setenv("RUNLEDGER_LEDGER_KEYS", f"{later.private_text} {earlier.verifier_key}")
    assert new_terminal.type("ledger", "verify").code == 0
