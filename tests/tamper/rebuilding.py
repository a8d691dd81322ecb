"""Build the tree and the checkpoints of a store anew, as somebody would who hides a change."""

from __future__ import annotations

import base64

from receiver.crypto import log_keys
from receiver.verifier import public_forms
from storage import merkle
from storage.ledger import forms
from tests.tamper import opened
from tests.tamper.editing import Editor
from tests.witness import Key

#: A key of the same name that nobody trusts.
OTHER = log_keys.new(opened.SIGNER.name)
#: A witness that nobody names.
OTHER_WITNESS = Key("witness.example/other")


def kept(editor: Editor, size: int) -> public_forms.Checkpoint:
    """Return the checkpoint of a size as somebody else kept it."""
    ((note,),) = editor.store.rows("SELECT note FROM ledger_checkpoints WHERE size = ?", size)
    return public_forms.parse_checkpoint(note.encode())


def rebuild(editor: Editor, how: str) -> None:
    """Make nodes and checkpoints of the entries that are there now."""
    found = editor.store.rows("SELECT leaf_hash FROM ledger_entries ORDER BY leaf_index")
    leaves = [bytes(leaf) for (leaf,) in found]
    for row in editor.rows("ledger_nodes"):
        width = 256 ** row["row"]
        node = merkle.root(leaves[row["position"] * width : (row["position"] + 1) * width])
        editor.update("ledger_nodes", {"row": row["row"], "position": row["position"]}, hash=node)
    if how == "no checkpoints":
        editor.execute("DELETE FROM ledger_checkpoints")
        editor.execute("DELETE FROM ledger_nodes")
        return
    signer = OTHER if how == "other key" else opened.SIGNER
    for row in editor.rows("ledger_checkpoints"):
        root = merkle.root(leaves[: row["size"]])
        if root == bytes(row["root"]):
            continue
        text = forms.checkpoint_text(signer.name, row["size"], root)
        line = row["note"].splitlines()[-1] if how == "old lines" else signer.line(text)
        editor.update("ledger_checkpoints", {"size": row["size"]}, root=root, note=forms.signed(text, [line]))


def spoilt(note: str, how: str, editor: Editor) -> str:
    """Return a note with another signature, text, key or form."""
    text, line = note.rpartition("\n\n")[0] + "\n", note.splitlines()[-1]
    if how == "text":
        size = text.splitlines()[1]
        return note.replace(f"\n{size}\n", f"\n{int(size) + 1}\n", 1)
    if how == "key":
        return forms.signed(text, [OTHER.line(text)])
    if how == "form":
        return editor.random.choice([note.replace("\n", "\r\n"), note + "\n", note.rstrip("\n"), ""])
    return forms.signed(text, [spoilt_line(line, how, editor)])


def spoilt_line(line: str, how: str, editor: Editor) -> str:
    """Return the line of a signature with another signature or form."""
    if how == "form":
        return editor.random.choice([line + " ", line[:-2], line + "\n" + line, ""])
    name, value = line.split(" ")[1:]
    raw = base64.b64decode(value)
    return forms.signature_line(name, raw[:4], editor.flipped(raw[4:]))
