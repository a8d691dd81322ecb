"""The ZIP of evidence, written file by file; the same store gives the same bytes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import zipfile
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from importlib import metadata
from pathlib import Path

from receiver import errors, verifier
from receiver.crypto import log_policy
from receiver.evidence import contents
from receiver.verifier import public_forms
from receiver.verifier.evidence import container, runs, summary, texts
from storage.engine import database
from storage.ledger import checkpoints

#: The most runs of one ZIP, and the most bytes: above these a ZIP has another form.
MOST_RUNS, MOST_BYTES = 1000, 3 << 30
_SOURCES = Path(verifier.__file__).parents[2]


class Archive:
    """A ZIP that is being written, with the SHA-256 of each file."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self._files: dict[str, tuple[int, str]] = {}
        self._written = 0

    def add(self, name: str, data: bytes) -> None:
        """Add a file. Raises EvidenceNotMade."""
        self._written += len(data)
        if self._written > self._most_bytes or len(data) > container.MOST_BYTES:
            raise errors.EvidenceNotMade(_too_large(self._most_bytes))
        if len(self._files) >= container.MOST_FILES:
            raise errors.EvidenceNotMade(
                f"it would have more than {container.MOST_FILES:,} files: choose fewer runs"
            )
        info = zipfile.ZipInfo(name, container.DATE)
        info.compress_type, info.create_system = zipfile.ZIP_DEFLATED, container.SYSTEM
        info.external_attr = container.MODE
        self._zip.writestr(info, data, compresslevel=6)
        if name != container.MANIFEST:
            self._files[name] = len(data), hashlib.sha256(data).hexdigest()

    def read(self, name: str) -> bytes:
        """Return a file that was added. Raises Refused."""
        try:
            return self._zip.read(name)
        except KeyError:
            raise public_forms.Refused(f"{name} is missing") from None

    def close(self, run_ids: Sequence[str]) -> None:
        """Add the manifest, and close the file."""
        self.add(container.MANIFEST, container.manifest(self._files, run_ids, metadata.version("runledger")))
        self._zip.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._zip.close()


async def write(
    store: database.Database,
    path: Path,
    run_ids: Sequence[str],
    newest: checkpoints.Checkpoint,
    policy: log_policy.Policy,
    only: Collection[str] | None = None,
    advance: Callable[[int], None] = lambda _: None,
    most_bytes: int = MOST_BYTES,
) -> None:
    """Write the evidence about runs; `advance` is called with the number of those that are in it.

    Raises EvidenceNotMade.
    """
    archive = Archive(path, most_bytes)
    try:
        archive.add(texts.README_FILE, texts.README.encode())
        archive.add(texts.SCRIPT, (_SOURCES / "receiver" / "verifier" / texts.SCRIPT).read_bytes())
        for name in texts.PROGRAM:
            archive.add(name, (_SOURCES / name).read_bytes())
        archive.add(texts.POLICY, policy.text.encode())
        archive.add(texts.KEYS, "".join(f"{key.text}\n" for key in policy.keys).encode())
        archive.add(texts.CHECKPOINT, newest.note.encode())
        log = runs.Log(public_forms.parse_checkpoint(newest.note.encode()), newest.note.encode())
        pages = [summary.head(log, run_ids)]
        for done, run_id in enumerate(run_ids, 1):
            await _add_all(archive, contents.files(store, run_id, newest, only))
            with contextlib.suppress(public_forms.Refused):  # the check of the whole ZIP says why
                pages.append(await asyncio.to_thread(_section, archive, run_id, log))
            advance(done)
        archive.add(texts.SUMMARY, "".join([*pages, summary.foot()]).encode())
        archive.close(run_ids)
    finally:
        archive.abandon()


def _too_large(most_bytes: int) -> str:
    if most_bytes == MOST_BYTES:
        return f"it would have more than {MOST_BYTES >> 30} GiB: choose fewer runs"
    return (
        f"it would have more than {most_bytes >> 20} MiB, which is the most for a request: choose fewer values, "
        "or use the command `runledger evidence` on the server"
    )


def _section(archive: Archive, run_id: str, log: runs.Log) -> str:
    """Return the section of a run in the summary. Raises Refused."""
    return summary.section(runs.load(run_id, archive.read, log, lambda _: None))


async def _add_all(archive: Archive, files: AsyncIterator[tuple[str, bytes]]) -> None:
    async for name, data in files:
        # Compressing megabytes takes longer than the event loop of a server should wait.
        await asyncio.to_thread(archive.add, name, data)
