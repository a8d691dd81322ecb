"""Random changes of a store, each with the codes under which it must be found."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import zstandard

from receiver.verifier import coverage, public_forms
from receiver.verifier.store.breaks import Code
from tests.tamper import hiding, rebuilding
from tests.tamper.editing import Editor, key_of

RECORD = [table for table in coverage.COVERED if not table.startswith("ledger_")]
_CHANGED, _MISSING, _ADDED, _SALT = Code.ROW_CHANGED, Code.ROW_MISSING, Code.ROW_ADDED, Code.SALT_CHANGED


@dataclass(frozen=True)
class Mutation:
    """What was changed, under which codes it must be found, which others may follow, and where."""

    what: str
    codes: frozenset[Code]
    also: frozenset[Code] = frozenset()
    run: str | None = None
    number: int | None = None
    kept: list[public_forms.Checkpoint] = field(default_factory=list)


Kind = Callable[[Editor], Mutation | None]


def _codes(*codes: Code) -> frozenset[Code]:
    return frozenset(codes)


_ENTRY = "EXISTS (SELECT 1 FROM ledger_entries e WHERE e.run_id = runs.id AND e.kind IN"
_BEGUN = f"{_ENTRY} ('run.accepted', 'run.imported'))"
_NOT_IMPORTED = f"NOT {_ENTRY} ('run.imported'))"
_KNOWN = "EXISTS (SELECT 1 FROM ledger_entries e WHERE e.run_id = runs.id)"
#: The runs that have no entry yet: adopted ones whose details are not fetched.
UNFETCHED = f"NOT {_KNOWN}"
_MEASURED = "EXISTS (SELECT 1 FROM run_documents d WHERE d.run_id = runs.id)"
#: Where a column is compared; elsewhere no entry says anything about it. See docs/reference/ledger-coverage.md.
COMPARED: dict[tuple[str, str], str] = {
    **{("runs", name): _MEASURED for name in ("created_at", "started_at")},
    **{("runs", name): _NOT_IMPORTED for name in ("again_of", "cancel_requested_at", "pruned_at")},
    **{("runs", name): _BEGUN for name in ("origin", "submitted_by", "accepted_at", "upstream_id")},
    ("runs", "model"): "model IS NOT NULL",
    ("runs", "id"): _KNOWN,
    ("deliveries", "body_sha256"): "body_sha256 <> '' AND verdict <> 'rejected'",
    ("run_steps", "salt"): "length(salt) = 16",
}


def _where(table: str, column: str) -> str:
    if table in ("run_steps", "run_usage"):
        return "length(salt) = 16"
    return COMPARED.get((table, column), "verdict <> 'rejected'" if table == "deliveries" else "")


def column_changed(table: str, column: str, where: str | None = None) -> Kind:
    """Return the change of one covered column of a row, or of one with a condition."""

    def change(editor: Editor) -> Mutation | None:
        row = editor.chosen(table, where or _where(table, column))
        if row is None:
            return None
        value = editor.other(column, row[column])
        if table == "run_documents" and column == "body":
            value = zstandard.compress(b"another answer")
        if table == "deliveries" and column == "run_id":
            other = editor.chosen("runs", "id <> ?", row["run_id"] or "")
            value = other["id"] if other else "x"
        if value is None and column == "status":
            return None
        editor.update(table, key_of(table, row), **{column: value})
        run = row["id"] if table == "runs" else row.get("run_id")
        moves = column in ("id", "run_id", "key", "version", "upstream_id", "run_seq") and table != "runs"
        codes = {_CHANGED}
        if column in _CONTENTS | {"salt"} and not (table == "runs" and column == "review"):
            codes |= {_SALT}
        if moves or (table, column) == ("runs", "id"):
            codes |= {_MISSING, _ADDED}
        if (table, column) in (("runs", "step_count"),):
            codes |= {_MISSING}
        if (table, column) == ("runs", "status") and not editor.rows("ledger_entries", "run_id = ?", row["id"]):
            codes = {_ADDED}  # in any other state a run has entries
        also = frozenset({_CHANGED, _MISSING, _ADDED}) if table in ("runs", "upstream_links") else frozenset()
        return Mutation(f"{table}.{column}", frozenset(codes), also, None if table == "deliveries" else run)

    return change


_CONTENTS = {
    *("prompt", "guidance", "instructions", "object_ids", "output", "summary", "failure_reason"),
    *("comment", "body", "headers", "target"),
}


def row_removed(table: str) -> Kind:
    """Return the removal of a row."""

    def change(editor: Editor) -> Mutation | None:
        row = editor.chosen(table, _BEGUN if table == "runs" else _where(table, "id"))
        if row is None:
            return None
        key = key_of(table, row)
        where = " AND ".join(f'"{name}" = ?' for name in key)
        editor.execute(f"DELETE FROM {table} WHERE {where}", *key.values())
        # Of tags that were submitted the entry has no count, so that one that is gone is a change of all.
        codes = _codes(_MISSING, _CHANGED) if table == "run_tags" else _codes(_MISSING)
        also = _codes(_ADDED, _CHANGED) if table in ("runs", "upstream_links") else _codes()
        run = {"runs": row.get("id"), "deliveries": None}.get(table, row.get("run_id"))
        return Mutation(f"a row of {table} removed", codes, also, run)

    return change


def row_added(table: str) -> Kind:
    """Return the addition of a row like another one."""

    def change(editor: Editor) -> Mutation | None:
        row = editor.chosen(table, _where(table, "id"))
        if row is None:
            return None
        new = secrets.token_hex(8)
        position = {"position": 60_000, "id": (row["id"] // 65536) * 65536 + 60_000} if "position" in row else {}
        changes: dict[str, dict[str, Any]] = {
            "runs": {"seq": 9_000_000, "id": new, "upstream_id": new, "idempotency_key": None},
            "run_tags": {"key": new},
            "run_documents": {"seq": 9_000_000, "version": 99},
            "deliveries": {"seq": 9_000_000, "id": new, "dedupe_key": None},
            "upstream_links": {"upstream_id": new},
            "run_reviews": {"seq": 9_000_000, "id": new},
            "holds": {"id": new},
            "completeness_reports": {"id": new},
        }
        editor.insert_copy(table, row, **changes.get(table, position))
        codes = _codes(_ADDED, _CHANGED) if table == "run_tags" else _codes(_ADDED)
        if table == "runs" and row["origin"] == "adopted" and row["status"] == "accepted":
            return None  # it could be an adoption whose details are not fetched yet
        also = _codes(_CHANGED, _MISSING) if table == "runs" else _codes()
        return Mutation(f"a row of {table} added", codes, also, new if table == "runs" else row.get("run_id"))

    return change


def contents_swapped(editor: Editor) -> Mutation | None:
    """Swap a text of two runs, or the bodies of two deliveries."""
    table, column = editor.random.choice([("runs", "prompt"), ("runs", "output"), ("deliveries", "body")])
    where = f"{column} IS NOT NULL" + (
        " AND body_sha256 <> '' AND verdict <> 'rejected'" if table == "deliveries" else ""
    )
    found = editor.rows(table, where)
    one, other = editor.random.sample(found, 2)
    if one[column] == other[column]:
        return None
    editor.update(table, key_of(table, one), **{column: other[column]})
    editor.update(table, key_of(table, other), **{column: one[column]})
    return Mutation(f"{table}.{column} of two rows swapped", _codes(_CHANGED))


def salt_of_entry(editor: Editor) -> Mutation | None:
    """Change, remove or spoil the salt of a digest whose value is there, or add one."""
    found = [*_sealed(editor)]
    row, name = editor.random.choice(found)
    salts = json.loads(row["salts"])
    how = editor.random.choice(["another", "gone", "spoilt", "added"])
    match how:
        case "another":
            salts[name] = secrets.token_hex(16)
        case "gone":
            del salts[name]
        case "spoilt":
            salts[name] = "no salt"
        case "added":
            salts["other"] = secrets.token_hex(16)
    editor.update("ledger_entries", {"seq": row["seq"]}, salts=json.dumps(salts) if salts else None)
    codes = _codes(_SALT, _CHANGED) if how == "another" and name not in ("document", "body") else _codes(_SALT)
    also = _codes(_CHANGED) if how == "gone" else _codes()
    return Mutation(f"a salt of {name}: {how}", codes, also)


def _sealed(editor: Editor) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the entries and names of the digests that are compared: the newest of each name of a run."""
    newest: dict[tuple[object, ...], tuple[dict[str, Any], str]] = {}
    for row in editor.rows("ledger_entries"):
        body = json.loads(row["body"])
        facts = body["facts"]
        part = facts.get("deliveryId") or facts.get("reviewId")
        if row["kind"].startswith(("hold.", "completeness.")):
            part = row["seq"]  # each is compared with the row
        for name in json.loads(row["salts"] or "{}") if not row["kind"].startswith("bulk.") else ():
            key = row["run_id"], part, name, facts.get("documentVersion") if name == "document" else None
            newest[key] = (row, name)
        if row["kind"] == "run.reopened":
            newest.pop((row["run_id"], None, "failureReason", None), None)
    yield from newest.values()


def salt_of_row(editor: Editor) -> Mutation | None:
    """Change the salt of a step or of a usage row."""
    table = editor.random.choice(["run_steps", "run_usage"])
    row = editor.chosen(table, "length(salt) = 16")
    if row is None:
        return None
    is_short = editor.random.random() < 0.5
    salt = bytes(row["salt"])
    editor.update(table, {"id": row["id"]}, salt=salt[:8] if is_short else editor.flipped(salt))
    return Mutation(
        f"the salt of a row of {table}", _codes(_SALT) if is_short else _codes(_SALT, _CHANGED), run=row["run_id"]
    )


def entry_changed(editor: Editor) -> Mutation | None:
    """Change an entry without its hash, its hash alone, or a column beside it."""
    row = editor.chosen("ledger_entries")
    assert row is not None
    column = editor.random.choice(["body", "leaf_hash", "kind", "actor", "at", "run_id"])
    value = _other_actor(row) if column == "body" else editor.other(column, row[column])
    editor.update("ledger_entries", {"seq": row["seq"]}, **{column: value})
    also = _codes(*_FOLLOWING, Code.HISTORY_REWRITTEN)
    return Mutation(f"{column} of an entry", _codes(Code.ENTRY_CHANGED), also, number=row["leaf_index"])


_FOLLOWING = (_CHANGED, _MISSING, _ADDED, _SALT)


def _other_actor(row: dict[str, Any]) -> str:
    text: str = row["body"]
    return text.replace('"actor":"', '"actor":"x', 1)


def entry_rehashed(editor: Editor) -> Mutation | None:
    """Change an entry, its hash, and the column beside it."""
    row = editor.chosen("ledger_entries")
    assert row is not None
    body = _other_actor(row)
    leaf = hashlib.sha256(b"\x00" + body.encode()).digest()
    editor.update("ledger_entries", {"seq": row["seq"]}, body=body, leaf_hash=leaf, actor=f"x{row['actor']}")
    return Mutation("an entry with its hash", _codes(Code.HISTORY_REWRITTEN), _codes(*_FOLLOWING))


def entries_removed(editor: Editor) -> Mutation | None:
    """Remove entries in the middle, at the end, or in the middle with new numbers for those behind it."""
    ((last,),) = editor.store.rows("SELECT max(leaf_index) FROM ledger_entries")
    how = editor.random.choice(["middle", "end", "renumbered"])
    if how == "end":
        first = last - editor.random.randrange(min(last, 20))
        editor.execute("DELETE FROM ledger_entries WHERE leaf_index >= ?", first)
        return Mutation("the last entries removed", _codes(Code.TAIL_CUT), _codes(*_FOLLOWING), number=first)
    number = editor.random.randrange(last)
    editor.execute("DELETE FROM ledger_entries WHERE leaf_index = ?", number)
    if how == "middle":
        return Mutation("an entry removed", _codes(Code.ENTRY_MISSING), _codes(*_FOLLOWING), number=number)
    editor.execute("UPDATE ledger_entries SET leaf_index = -leaf_index WHERE leaf_index > ?", number)
    editor.execute("UPDATE ledger_entries SET leaf_index = -leaf_index - 1 WHERE leaf_index < 0")
    codes = _codes(Code.HISTORY_REWRITTEN, Code.TAIL_CUT)
    return Mutation("an entry removed, the others renumbered", codes, _codes(*_FOLLOWING))


def entries_swapped(editor: Editor) -> Mutation | None:
    """Swap the numbers of two entries, or all that is in them."""
    one, other = editor.random.sample(editor.rows("ledger_entries", "leaf_index IS NOT NULL"), 2)
    by_content = editor.random.random() < 0.5
    names = ["body", "leaf_hash", "run_id", "kind", "actor", "at", "salts"] if by_content else ["leaf_index"]
    if not by_content:
        editor.update("ledger_entries", {"seq": one["seq"]}, leaf_index=None)
    editor.update("ledger_entries", {"seq": other["seq"]}, **{name: one[name] for name in names})
    editor.update("ledger_entries", {"seq": one["seq"]}, **{name: other[name] for name in names})
    number = min(one["leaf_index"], other["leaf_index"])
    return Mutation("two entries swapped", _codes(Code.ENTRIES_SWAPPED), _codes(*_FOLLOWING), number=number)


def node_changed(editor: Editor) -> Mutation | None:
    """Change, remove or add a node of the tree."""
    row = editor.chosen("ledger_nodes")
    assert row is not None
    match editor.random.choice(["changed", "removed", "added"]):
        case "changed":
            editor.update("ledger_nodes", key_of("ledger_nodes", row), hash=editor.flipped(bytes(row["hash"])))
        case "removed":
            editor.execute(
                'DELETE FROM ledger_nodes WHERE "row" = ? AND position = ?', row["row"], row["position"]
            )
        case _:
            editor.execute(
                "INSERT INTO ledger_nodes VALUES (?, ?, ?)", editor.random.choice((1, 2, 3, 2**62)), 77, bytes(32)
            )
    return Mutation("a node of the tree", _codes(Code.TILE_CHANGED))


def checkpoint_changed(editor: Editor) -> Mutation | None:
    """Change the root, the size or the note of a checkpoint."""
    row = editor.chosen("ledger_checkpoints")
    assert row is not None
    how = editor.random.choice(["root", "size", "signature", "text", "key", "form"])
    key = {"size": row["size"]}
    match how:
        case "root":
            editor.update("ledger_checkpoints", key, root=editor.flipped(bytes(row["root"])))
        case "size":
            editor.update("ledger_checkpoints", key, size=row["size"] + 10_000)
        case _:
            editor.update("ledger_checkpoints", key, note=rebuilding.spoilt(row["note"], how, editor))
    codes = {"root": _CHANGED, "size": _CHANGED, "key": Code.KEY_UNKNOWN}
    # A witness has signed it, too.
    also = {"text": _codes(_CHANGED, _MISSING), "form": _codes(_MISSING), "size": _codes(_MISSING)}
    code = codes.get(how, Code.SIGNATURE_WRONG)
    return Mutation(f"the {how} of a checkpoint", _codes(code), also.get(how, _codes()))


def cosignature_changed(editor: Editor) -> Mutation | None:
    """Change the line of a witness, or take one away from the newest checkpoint that enough have signed."""
    newest = editor.rows("ledger_cosignatures")[-1]
    row = editor.chosen("ledger_cosignatures") or newest
    how = editor.random.choice(["signature", "form", "witness", "moved", "unknown", "removed"])
    changed, code, place = row, Code.SIGNATURE_WRONG, key_of("ledger_cosignatures", row)
    match how:
        case "signature" | "form":
            editor.update("ledger_cosignatures", place, line=rebuilding.spoilt_line(row["line"], how, editor))
        case "witness":
            editor.update("ledger_cosignatures", place, witness=f"{row['witness']}x")
            code = _CHANGED
        case "moved":
            changed = newest
            others = [each for each in editor.rows("ledger_cosignatures") if each["size"] != newest["size"]]
            moved = editor.random.choice(others)["line"]
            editor.update("ledger_cosignatures", key_of("ledger_cosignatures", newest), line=moved)
        case _:
            changed, code, place = newest, _MISSING, key_of("ledger_cosignatures", newest)
            if how == "unknown":
                line = rebuilding.OTHER_WITNESS.line("any text\n", 1)
                editor.update("ledger_cosignatures", place, line=line)
            else:
                editor.execute("DELETE FROM ledger_cosignatures WHERE size = ?", newest["size"])
    return Mutation(f"a cosignature: {how}", _codes(code), _codes(_MISSING), number=changed["size"])


def older_copy(editor: Editor) -> Mutation | None:
    """Go back to an older state of the ledger, while a newer checkpoint was kept elsewhere."""
    sizes = [row["size"] for row in editor.rows("ledger_checkpoints")]
    kept = rebuilding.kept(editor, max(sizes))
    size = editor.random.choice([0, *sizes[:-1]])
    editor.execute("DELETE FROM ledger_entries WHERE leaf_index >= ?", size)
    editor.execute("DELETE FROM ledger_checkpoints WHERE size > ?", size)
    editor.execute("DELETE FROM ledger_nodes WHERE (position + 1) * 256 > ?", size)
    return Mutation("an older copy", _codes(Code.OLDER_COPY), _codes(*_FOLLOWING), kept=[kept])


def history_rebuilt(editor: Editor) -> Mutation | None:
    """Change an entry and all that stands over it: without the key in two ways, or with it."""
    sizes = [row["size"] for row in editor.rows("ledger_checkpoints")]
    kept, how = (
        rebuilding.kept(editor, max(sizes)),
        editor.random.choice(["other key", "old lines", "no checkpoints", "same key"]),
    )
    if entry_rehashed(editor) is None:
        return None
    rebuilding.rebuild(editor, how)
    codes = {"other key": Code.KEY_UNKNOWN, "old lines": Code.SIGNATURE_WRONG}
    with_kept = [kept] if how in ("no checkpoints", "same key") else []
    code = codes.get(how, Code.HISTORY_REWRITTEN)
    also = _codes(*_FOLLOWING, Code.SIGNATURE_WRONG)  # the witness has signed the other one
    return Mutation(f"the history rebuilt: {how}", _codes(code), also, kept=with_kept)


def hidden(hide: hiding.Hide) -> Kind:
    """Return a change that is hidden."""

    def change(editor: Editor) -> Mutation | None:
        codes = hide(editor)
        also = _codes(_CHANGED, _MISSING, _ADDED, _SALT)
        return None if codes is None else Mutation(hide.__name__.replace("_", " "), frozenset(codes), also)

    return change


COLUMNS = [(table, column) for table in RECORD for column in coverage.COVERED[table]]
KINDS: dict[str, list[Kind]] = {
    "covered columns": [column_changed(*each) for each in COLUMNS],
    "rows removed": [row_removed(table) for table in RECORD],
    "rows added": [row_added(table) for table in RECORD],
    "contents swapped": [contents_swapped],
    "salts of entries": [salt_of_entry],
    "salts of rows": [salt_of_row],
    "entries changed": [entry_changed],
    "entries changed with their hashes": [entry_rehashed],
    "entries removed": [entries_removed],
    "entries swapped": [entries_swapped],
    "nodes": [node_changed],
    "checkpoints": [checkpoint_changed],
    "cosignatures": [cosignature_changed],
    "older copies": [older_copy],
    "histories rebuilt": [history_rebuilt],
    "hidden changes": [hidden(each) for each in hiding.KINDS],
}
