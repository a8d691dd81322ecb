"""Settled runs under a checkpoint, and the evidence about them."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from receiver.crypto import log_keys, log_policy
from receiver.evidence import archive
from receiver.verifier.evidence import container
from storage import merkle
from storage.engine.database import Database
from storage.ledger import checkpoints, entries, proofs
from storage.transitions import receiving
from tests import life

LOG = log_keys.new("runledger.test/ledger")
POLICY = log_policy.Policy([LOG.verifier])
HEADERS = merkle.CanonicalJson('{"content-type":"application/json","user-agent":"upstream"}')
BODY = b'{"runId":"run_1","status":"completed"}'
Files = dict[str, bytes]


async def settle(
    database: Database, upstream_id: str = "run_1", measures: Mapping[str, Any] | None = None, **changes: Any
) -> str:
    """Receive a callback and settle a run; return our id of it."""
    submitted = {"guidance": "Be brief.", "tags": {"client": "acme"}, "object_ids": ("obj_1",), **changes}
    run = await life.running(database, upstream_id, **submitted)
    await receive(database, run.id)
    await life.settle(database, run, life.result(measures=life.measures(**(measures or {}))))
    return run.id


async def receive(database: Database, run_id: str | None, **changes: Any) -> None:
    """Receive a callback whose headers and body are digested, as the endpoints do."""
    body = changes.pop("body", BODY)
    digests = (*merkle.salted_digest("headers", HEADERS), *merkle.salted_digest("body", body))
    whole = {"run_id": run_id, "headers": HEADERS, "body": body, "digests": digests, "received_at": life.at(62)}
    await database.write(receiving.accept_delivery, life.delivery(**{**whole, **changes}))


async def sign(database: Database, key: log_keys.Signer = LOG) -> checkpoints.Checkpoint:
    """Number all entries, sign them, and return the checkpoint."""
    await database.write(entries.number, 10_000)
    await database.write(checkpoints.sign_next, key.name, lambda text: [key.line(text)], life.NOW)
    found = await database.read(proofs.newest_checkpoint)
    assert found is not None
    return found


async def make(database: Database, path: Path, *run_ids: str, only: Collection[str] | None = None) -> Path:
    """Sign, and write evidence about runs; return its path."""
    await archive.write(database, path, run_ids, await sign(database), POLICY, only)
    return path


def read(path: Path) -> Files:
    """Return the files of a ZIP, in their order."""
    with zipfile.ZipFile(path) as found:
        return {name: found.read(name) for name in found.namelist()}


def write(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a ZIP as Runledger does."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, container.DATE)
            info.compress_type, info.create_system = zipfile.ZIP_DEFLATED, container.SYSTEM
            info.external_attr = container.MODE
            made.writestr(info, data, compresslevel=1)
    return path


def sealed(files: Mapping[str, bytes]) -> Files:
    """Return files with a new manifest of them, as somebody makes it who changes a ZIP with skill."""
    _, run_ids, program = container.read_manifest(files[container.MANIFEST])
    others = {name: data for name, data in files.items() if name != container.MANIFEST}
    listed = {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in others.items()}
    return {**others, container.MANIFEST: container.manifest(listed, run_ids, program)}


def changed(files: Mapping[str, bytes], name: str, change: Callable[[bytes], bytes]) -> Files:
    """Return files with one of them changed."""
    return {**files, name: change(files[name])}
