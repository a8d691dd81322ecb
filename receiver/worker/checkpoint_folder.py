"""The folder into which checkpoints are written too: storage that cannot be rewritten, or a work tree of git.

A checkpoint there that this store lacks shows that the store is an older copy: then nothing is signed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from receiver import poll_loop, telemetry
from receiver.crypto import log_keys, log_notes
from receiver.worker import publishing
from storage.ledger import checkpoints, proofs, publication

#: The names of the files: the number of entries, so that the last name is the newest.
_NAME = re.compile(r"[0-9]{20}\.checkpoint", re.ASCII)
#: The most bytes of a file that are read.
_MOST = 1 << 20


class Published(NamedTuple):
    """A checkpoint that was found: its size and its root."""

    size: int
    root: bytes


async def run(
    folder: Path,
    keys: Sequence[log_keys.VerifierKey],
    reporter: publishing.Reporter,
    telemetry: telemetry.Telemetry,
    looked: asyncio.Event,
    pace: float,
    poll: float,
) -> None:
    """Write the newest checkpoint, at most every `pace` seconds, until cancelled; set `looked` after a look."""

    async def publish() -> None:
        try:
            await _publish(folder, keys, reporter)
        finally:
            looked.set()

    paused = partial(telemetry.log.warning, "checkpoint_folder_paused")
    await poll_loop.run(reporter.store, publish, paused, pace=pace, poll=poll)


async def _publish(folder: Path, keys: Sequence[log_keys.VerifierKey], reporter: publishing.Reporter) -> None:
    try:
        found = await asyncio.to_thread(newest, folder, keys)
        differs = None
        if found is not None:
            differs = await reporter.store.read(publication.difference, found.size, found.root)
        if differs is not None:
            await reporter.failed(publication.FOLDER, f"{folder} {differs}", halts=True)
            return
        made = await reporter.store.read(proofs.newest_checkpoint)
        if made is not None and (found is None or found.size < made.size):
            await asyncio.to_thread(write, folder, made)
        await reporter.reached(publication.FOLDER, None if made is None else made.size)
    except OSError as error:
        await reporter.failed(publication.FOLDER, f"{folder} cannot be used: {error.strerror or error}")


def newest(folder: Path, keys: Sequence[log_keys.VerifierKey]) -> Published | None:
    """Return the largest checkpoint of a folder that one of the keys signed; None without one. Raises OSError."""
    for name in sorted(filter(_NAME.fullmatch, os.listdir(folder)), reverse=True):
        with (folder / name).open("rb") as file:
            found = _parse(file.read(_MOST), keys)
        if found is not None:
            return found
    return None


def write(folder: Path, made: checkpoints.Checkpoint) -> None:
    """Write a checkpoint into a folder under a temporary name, and rename it. Raises OSError."""
    path = folder / f"{made.size:020d}.checkpoint"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(made.note.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _parse(content: bytes, keys: Sequence[log_keys.VerifierKey]) -> Published | None:
    """Return the checkpoint of a file; None where it is not of these keys, such as one of another ledger."""
    try:
        note = content.decode()
        origin, size, root = log_notes.split(note)[0].split("\n")[:3]
        published = Published(int(size), base64.b64decode(root, validate=True))
    except ValueError:
        return None
    is_ours = any(key.name == origin and log_notes.is_signed(note, key) for key in keys)
    return published if is_ours else None
