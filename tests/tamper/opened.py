"""Open a store as the verifier reads it: a connection of the driver, in one snapshot."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from sqlalchemy import make_url

from receiver.cli.proof import verify
from receiver.crypto import log_keys
from receiver.verifier import public_forms
from receiver.verifier.store import breaks, signatures, verification
from storage.engine import connections
from tests.witness import Key

SIGNER = log_keys.new("runledger.example/log")
WITNESS = Key("witness.example/one")


def trusted(signer: log_keys.Signer = SIGNER) -> signatures.Trusted:
    """Return the trust in one key of a log, and in one witness."""
    lines = [f"log {signer.verifier_key}", f"witness one {WITNESS.verifier_key}", "quorum one", ""]
    return signatures.Trusted(public_forms.parse_policy("\n".join(lines).encode()), verify.is_signed)


@contextmanager
def connection(url: str, *, readonly: bool = True) -> Iterator[Any]:
    """Open a plain connection, whose transaction is rolled back."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(str(make_url(url).database), isolation_level=None)) as opened:
            opened.execute("BEGIN")
            yield opened
        return
    with psycopg.connect(**connections.libpq_arguments(url)) as server:
        server.read_only = readonly
        server.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield server
        server.rollback()


def verified(url: str, *kept: public_forms.Checkpoint, **options: Any) -> breaks.Report:
    """Verify the store at an address."""
    with connection(url) as opened:
        return verification.verify(opened, trusted(), kept, **options)
