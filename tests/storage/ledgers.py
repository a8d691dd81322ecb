"""Read the ledger from stored bytes, salts and values, without the code that wrote it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pymerkle
from sqlalchemy import Connection, select

from storage.engine.database import Database
from storage.tables.ledger import LEDGER_ENTRIES


@dataclass(frozen=True)
class Entry:
    """An entry, decoded from its bytes, with the salts that are kept for it."""

    kind: str
    run: str | None
    actor: str
    facts: dict[str, Any]
    digests: dict[str, str]
    salts: dict[str, bytes]

    def proves(self, name: str, value: bytes) -> bool:
        """Return whether the digest of that name was made of this value."""
        return _digest(self.salts[name], name, value).hex() == self.digests[name]


async def entries(database: Database, run_id: str | None) -> list[Entry]:
    """Return the entries of a run (None: of no run), in order."""
    return await database.read(_entries, run_id)


async def last(database: Database, run_id: str | None) -> Entry:
    """Return the last entry of a run."""
    return (await entries(database, run_id))[-1]


def _entries(connection: Connection, run_id: str | None) -> list[Entry]:
    which = LEDGER_ENTRIES.c.run_id == run_id
    rows = connection.execute(select(LEDGER_ENTRIES).where(which).order_by(LEDGER_ENTRIES.c.seq)).all()
    return [_entry(row) for row in rows]


def _entry(row: Any) -> Entry:
    body = json.loads(row.body)
    kept = {name: bytes.fromhex(salt) for name, salt in (row.salts or {}).items()}
    return Entry(body["kind"], body["run"], body["actor"], body["facts"], body["digests"], kept)


def root(name: str, rows: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the root over salted digests of rows (salt, canonical bytes)."""
    digests = [_digest(salt, name, value) for salt, value in rows]
    tree = pymerkle.InmemoryTree.init_from_entries(digests, algorithm="sha256")
    made: bytes = tree.get_root()
    return made.hex()


def _digest(salt: bytes, name: str, value: bytes) -> bytes:
    return hashlib.sha256(salt + name.encode() + b"\x00" + value).digest()
