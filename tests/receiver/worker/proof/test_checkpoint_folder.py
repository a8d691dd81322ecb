"""Checkpoints in a folder, and what a folder with a newer one stops."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from receiver.crypto import log_keys
from receiver.verifier import ed25519, public_forms
from receiver.worker import checkpoint_folder
from storage import merkle
from storage.engine.database import Database
from storage.ledger import checkpoints, forms, publication
from tests import life
from tests.receiver.worker.proof.signing import LOG, Signing, running, until

pytestmark = pytest.mark.anyio
POLICY = public_forms.parse_policy(f"log {LOG.verifier_key}\nquorum none\n".encode())


@pytest.fixture
def made(database: Database) -> Signing:
    return Signing(database)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "checkpoints"
    made.mkdir()
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def put(folder: Path, size: int, *, signer: log_keys.Signer = LOG, root: bytes = b"r" * 32) -> None:
    """Write a checkpoint as another copy of the store would have."""
    text = forms.checkpoint_text(signer.name, size, root)
    note = forms.signed(text, [signer.line(text)])
    checkpoint_folder.write(folder, checkpoints.Checkpoint(size, root, note, life.NOW))


async def test_each_checkpoint_is_a_file_that_an_auditor_verifies(made: Signing, folder: Path) -> None:
    looked = asyncio.Event()
    async with running(made.publish(folder, looked), made.sign({"folder": looked})):
        await made.append(3)
        await until(lambda: _has(folder, 3))
        await made.append(300)
        await until(lambda: _has(folder, 303))
    assert names(folder) == [f"{3:020d}.checkpoint", f"{303:020d}.checkpoint"]
    found = public_forms.parse_checkpoint((folder / names(folder)[1]).read_bytes())
    assert public_forms.trust(found, POLICY, ed25519.verify).logs == [LOG.name]


async def _has(folder: Path, size: int) -> bool:
    return f"{size:020d}.checkpoint" in names(folder)


async def test_a_store_older_than_the_folder_signs_nothing_and_says_so_once(made: Signing, folder: Path) -> None:
    put(folder, 7)
    looked = asyncio.Event()
    async with running(made.publish(folder, looked), made.sign({"folder": looked})):
        await made.append(2)
        await until(lambda: made.report(publication.SIGNING))
        await made.append(2)
        await until(lambda: _several_passes(made))
    assert await made.store.read(checkpoints.newest) is None
    (line,) = made.events("ledger_history_changed")
    assert "has a checkpoint of 7 entries, and this store has signed 0: it is an older copy" in line["reason"]
    assert names(folder) == [f"{7:020d}.checkpoint"]


async def _several_passes(made: Signing) -> bool:
    made.seconds += 1
    return made.seconds > 20


async def test_signing_goes_on_once_the_newer_copy_or_another_folder_is_there(made: Signing, folder: Path) -> None:
    put(folder, 7)
    looked = asyncio.Event()
    async with running(made.publish(folder, looked), made.sign({"folder": looked})):
        await made.append(2)
        await until(lambda: made.report(publication.SIGNING))
        (folder / f"{7:020d}.checkpoint").unlink()
        await until(lambda: _has(folder, 2))
    await until(lambda: _is_over(made))


async def _has_stopped(made: Signing) -> bool:
    return bool(made.events("ledger_history_changed"))


async def _is_over(made: Signing) -> bool:
    report = await made.report(publication.SIGNING)
    return report is not None and report.problem is None and bool(made.events("ledger_signing_resumed"))


async def test_a_folder_that_cannot_be_used_is_reported_and_stops_nothing(made: Signing, tmp_path: Path) -> None:
    looked = asyncio.Event()
    async with running(made.publish(tmp_path / "missing", looked), made.sign({"folder": looked})):
        await made.append(2)
        await until(lambda: made.store.read(checkpoints.newest))
        await until(lambda: made.report(publication.FOLDER))
    report = await made.report(publication.FOLDER)
    assert report is not None
    assert "missing cannot be used: No such file or directory" in (report.problem or "")
    assert len(made.events("ledger_folder_failed")) == 1


async def test_another_history_of_the_same_size_is_noticed(made: Signing, folder: Path) -> None:
    await made.append(2)
    async with running(made.sign()):
        await until(lambda: made.store.read(checkpoints.newest))
    put(folder, 2, root=merkle.root([b"x" * 32]))
    looked = asyncio.Event()
    async with running(made.publish(folder, looked), made.sign({"folder": looked})):
        await made.append(1)
        await until(lambda: _has_stopped(made))
    assert "another history of the first 2 entries" in made.events("ledger_history_changed")[0]["reason"]


@pytest.mark.parametrize("content", [b"", b"\xff\n\n", b"a\n9\nx\n\n\xe2\x80\x94 a b\n", b"a\nb\n\nc\n"])
def test_what_is_no_checkpoint_of_this_ledger_counts_for_nothing(folder: Path, content: bytes) -> None:
    put(folder, 9, signer=log_keys.new(LOG.name))
    put(folder, 8, signer=log_keys.new("another/ledger"))
    (folder / f"{7:020d}.checkpoint").write_bytes(content)
    (folder / ".git").mkdir()
    assert checkpoint_folder.newest(folder, [LOG.verifier]) is None
    put(folder, 5)
    assert checkpoint_folder.newest(folder, [LOG.verifier]) == (5, b"r" * 32)


def test_a_file_that_could_not_be_written_whole_leaves_nothing(folder: Path) -> None:
    (folder / f"{5:020d}.checkpoint").mkdir()
    (folder / f"{5:020d}.checkpoint" / "file").touch()
    with pytest.raises(OSError, match="directory"):
        put(folder, 5)
    assert len(names(folder)) == 1
    shutil.rmtree(folder)
