"""Changes that somebody hides: behind entries of their own, behind an erasure, or in values of another type."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from receiver.verifier.store.breaks import Code
from storage import merkle
from tests.tamper.editing import Editor

Hide = Callable[[Editor], set[Code] | None]
_AT = "2026-11-23T12:50:00.000000Z"
_FIELDS = [
    "prompt",
    "guidance",
    "objectIds",
    "output",
    "summary",
    "document",
    "steps",
    "usage",
    "deliveries",
]
_WHOLE = (
    "status = 'completed' AND origin = 'submitted' AND pruned_at IS NULL "
    "AND EXISTS (SELECT 1 FROM run_steps s WHERE s.run_id = runs.id)"
)


def _erase(editor: Editor) -> str:
    """Remove what an erasure removes; return the run."""
    run = editor.chosen("runs", _WHOLE)
    assert run is not None
    texts: dict[str, Any] = dict.fromkeys(("prompt", "guidance", "object_ids", "output", "summary"))
    editor.update("runs", {"id": run["id"]}, **texts, pruned_at=_AT)
    for table in ("run_steps", "run_documents", "run_tags"):
        editor.execute(f"DELETE FROM {table} WHERE run_id = ?", run["id"])
    editor.execute("UPDATE run_usage SET metadata = NULL, salt = ? WHERE run_id = ?", b"", run["id"])
    emptied = "body = ?, headers = NULL, body_sha256 = ''"
    editor.execute(f"UPDATE deliveries SET {emptied} WHERE run_id = ?", b"", run["id"])
    editor.execute("UPDATE ledger_entries SET salts = NULL WHERE run_id = ? AND kind <> 'run.reviewed'", run["id"])
    return str(run["id"])


def _append(editor: Editor, run: str, number: int | None) -> None:
    facts = {"fields": _FIELDS, "reason": "x", "cause": "request"}
    whole = {"v": 1, "kind": "content.erased", "at": _AT, "run": run, "actor": "operator", "facts": facts}
    body = merkle.canonical({**whole, "digests": {}})
    row = editor.chosen("ledger_entries", "leaf_index IS NOT NULL AND kind = 'content.erased'")
    assert row is not None
    leaf = hashlib.sha256(b"\x00" + body).digest()
    values = {"seq": 9_000_000, "id": "forged", "run_id": run, "at": _AT, "actor": "operator", "salts": None}
    editor.insert_copy("ledger_entries", row, **values, body=body.decode(), leaf_index=number, leaf_hash=leaf)


def erased_by_an_entry_outside_the_tree(editor: Editor) -> set[Code]:
    """Remove content, and say so in an entry with a number that no tree has."""
    _append(editor, _erase(editor), -3)
    return {Code.ENTRY_CHANGED}


def erased_by_an_entry_without_a_number(editor: Editor) -> set[Code] | None:
    """Remove content, and say so in an entry without a number; a server would number it, a file has none."""
    if not editor.is_file:
        return None
    _append(editor, _erase(editor), None)
    return {Code.ENTRY_MISSING}


def entries_followed_in_another_order(editor: Editor) -> set[Code]:
    """Make an earlier judgement the newest one, by the order of the rows in the store."""
    run = editor.chosen("runs", "review = 'approved'")
    assert run is not None
    first, last = editor.rows("ledger_entries", "run_id = ? AND kind = 'run.reviewed'", run["id"])[:2]
    for key, seq in ((first["seq"], -1), (last["seq"], first["seq"]), (-1, last["seq"])):
        editor.update("ledger_entries", {"seq": key}, seq=seq)
    editor.update("runs", {"id": run["id"]}, review="rejected")
    return {Code.ROW_CHANGED}


def steps_of_an_erased_run(editor: Editor) -> set[Code]:
    """Give steps without salts to a run whose steps were erased."""
    run, step = editor.chosen("runs", "pruned_at IS NOT NULL AND step_count > 0"), editor.chosen("run_steps")
    assert run is not None
    assert step is not None
    place = {"id": run["seq"] * 65536, "position": 0}
    editor.insert_copy("run_steps", step, **place, run_id=run["id"], salt=b"")
    return {Code.ROW_ADDED}


def usage_of_an_erased_run(editor: Editor) -> set[Code]:
    """Remove a row of usage, or bring metadata back, where the salts were erased."""
    row = editor.chosen("run_usage", "length(salt) = 0")
    assert row is not None
    if editor.random.random() < 0.5:
        editor.update("run_usage", {"id": row["id"]}, metadata=json.dumps({"cached": True}))
        return {Code.ROW_CHANGED}
    editor.execute("DELETE FROM run_usage WHERE id = ?", row["id"])
    return {Code.ROW_MISSING}


def delivery_erased_before_it_came(editor: Editor) -> set[Code]:
    """Give an unknown delivery to a run that was erased before, and empty it."""
    row = editor.chosen("deliveries", "run_id IS NULL AND body_sha256 <> '' AND verdict = 'accepted'")
    run = editor.chosen("runs", "upstream_id = 'run_early'")
    assert row is not None
    assert run is not None
    values = {"run_id": run["id"], "upstream_id": "run_early", "headers": None, "body_sha256": ""}
    editor.update("deliveries", {"seq": row["seq"]}, **values, body=b"")
    editor.execute("UPDATE ledger_entries SET salts = NULL WHERE body LIKE ?", f"%{row['id']}%")
    return {Code.ROW_CHANGED}


def value_of_another_type(editor: Editor) -> set[Code] | None:
    """Store a value as another type, which a file takes: the bytes are the same."""
    places = {
        ("runs", "prompt", "BLOB"): Code.ROW_CHANGED,
        ("ledger_entries", "body", "BLOB"): Code.ENTRY_CHANGED,
        ("ledger_entries", "leaf_hash", "TEXT"): Code.ENTRY_CHANGED,
        ("ledger_nodes", "hash", "TEXT"): Code.TILE_CHANGED,
        ("deliveries", "body", "TEXT"): Code.ROW_CHANGED,
        ("ledger_checkpoints", "note", "BLOB"): Code.ROW_CHANGED,
    }
    if not editor.is_file:
        return None
    (table, column, kind), code = editor.random.choice([*places.items()])
    editor.execute(f"UPDATE {table} SET {column} = CAST({column} AS {kind})")
    return {code}


KINDS: list[Hide] = [
    erased_by_an_entry_outside_the_tree,
    erased_by_an_entry_without_a_number,
    entries_followed_in_another_order,
    steps_of_an_erased_run,
    usage_of_an_erased_run,
    delivery_erased_before_it_came,
    value_of_another_type,
]
