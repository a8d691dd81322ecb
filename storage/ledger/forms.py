"""The public forms of the log, of C2SP.

`tlog-checkpoint` 1.0.0, `signed-note` 1.0.0; `tlog-proof` and `tlog-policy` as of November 2026, drafts.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

PROOF_HEADER = "c2sp.org/tlog-proof@v1"


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """Return the text of a checkpoint, which is signed: the origin, the number of leaves, the root."""
    return f"{origin}\n{size}\n{encoded(root)}\n"


def signed(text: str, lines: Sequence[str]) -> str:
    """Return a note: the text, a blank line, and the lines of its signatures."""
    return "\n".join([text, *lines, ""])


def signature_line(name: str, key_id: bytes, signature: bytes) -> str:
    """Return the line of a signature: the name of the key, and its id of four bytes before the signature."""
    return f"\u2014 {name} {encoded(key_id + signature)}"


def proof(index: int, hashes: Sequence[bytes], note: str) -> str:
    """Return the proof that a leaf stands at an index of the log, with the signed checkpoint."""
    return "\n".join([PROOF_HEADER, f"index {index}", *map(encoded, hashes), "", note])


def encoded(value: bytes) -> str:
    """Return bytes in standard base64, as all forms have them."""
    return base64.b64encode(value).decode()
