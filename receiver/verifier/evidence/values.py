"""Disclosed values against the digests of the entries."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from receiver.verifier import public_forms
from receiver.verifier.public_forms import Refused

DISCLOSED, WITHHELD, ERASED, REPLACED, MISSING = "disclosed", "withheld", "erased", "replaced", "missing"
STATES = (DISCLOSED, WITHHELD, ERASED, REPLACED, MISSING)
#: How values are kept in files, by the names of their digests.
TEXTS = ("prompt", "guidance", "instructions", "summary", "output", "failureReason")
STRUCTURES = ("objectIds", "tags")
ROWS = ("steps", "usage")
OF_DELIVERY = {"headers": "headers.json", "body": "body"}
#: The values of which a run may have several: none of them replaces another one.
SEVERAL = ("document", "comment", *OF_DELIVERY)
NAMES = (*TEXTS, *STRUCTURES, *ROWS, *SEVERAL)

_SALT = re.compile(r"[0-9a-f]*", re.ASCII)

Facts = Mapping[str, Any]


def path(run: str, name: str, facts: Facts) -> str | None:
    """Return the file of the value that an entry of a run has a digest of; None for a value that has no file."""
    if name in TEXTS:
        return f"runs/{run}/{name}.txt"
    if name in STRUCTURES:
        return f"runs/{run}/{name}.json"
    if name in ROWS:
        return f"runs/{run}/{name}.jsonl"
    if name == "document":
        return f"runs/{run}/document-{facts.get('documentVersion')}.json"
    if name == "comment":
        return f"runs/{run}/reviews/{facts.get('reviewId')}.txt"
    if name in OF_DELIVERY:
        return f"runs/{run}/deliveries/{facts.get('deliveryId')}.{OF_DELIVERY[name]}"
    return None


def demand(name: str, digest: str, salts: Sequence[str], data: bytes) -> None:
    """Check a value against a digest, under the salt of the value or of each of its rows. Raises Refused."""
    if not all(isinstance(each, str) and _SALT.fullmatch(each) for each in salts):
        raise Refused(f"a salt of {name} is not hexadecimal")
    salted = [bytes.fromhex(each) for each in salts]
    if name not in ROWS:
        found = _digest(salted[0], name, data) if len(salted) == 1 else b""
    else:
        rows = data.split(b"\n")[:-1]
        if len(rows) != len(salted) or not rows or not data.endswith(b"\n"):
            raise Refused(f"{name} has not one salt for each row")
        found = root([public_forms.leaf_hash(_digest(salted[at], name, row)) for at, row in enumerate(rows)])
    if found.hex() != digest:
        raise Refused(f"{name} is not the value that was recorded")


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root of a Merkle tree over leaf hashes (RFC 6962)."""
    level = list(leaves)
    while len(level) > 1:
        paired = [public_forms.node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) - len(level) % 2 :]
    return level[0]


def _digest(salt: bytes, name: str, value: bytes) -> bytes:
    hashed = hashlib.sha256(salt + name.encode() + b"\x00")
    hashed.update(value)
    return hashed.digest()
