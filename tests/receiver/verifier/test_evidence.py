"""A ZIP of evidence of which something was changed, and the verifier as an auditor starts it."""

from __future__ import annotations

import ast
import asyncio
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from receiver.verifier.evidence import check, container, texts
from storage.engine.database import Database
from tests import evidence_store

SOURCES = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return evidence about two runs, made once."""
    folder = tmp_path_factory.mktemp("evidence")
    (folder / "store.db").write_bytes(template.read_bytes())

    async def make() -> Path:
        async with Database(f"sqlite:///{folder / 'store.db'}") as database:
            ids = [await evidence_store.settle(database, each) for each in ("run_1", "run_2")]
            return await evidence_store.make(database, folder / "evidence.zip", *ids)

    return asyncio.run(make())


def auditor(made: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Unpack the verifier of a good ZIP into an empty folder, and start it with Python's library alone."""
    with zipfile.ZipFile(made) as good:
        good.extractall(
            folder / "check", [name for name in good.namelist() if name in (texts.SCRIPT, *texts.PROGRAM)]
        )
    typed = [sys.executable, "-I", "-S", "-W", "error", "check/verify_evidence.py", *options]
    return subprocess.run(typed, cwd=folder, env={}, capture_output=True, text=True, timeout=60, check=False)


def test_bare_python_in_another_folder_verifies_it(made: Path, tmp_path: Path) -> None:
    (tmp_path / "evidence.zip").write_bytes(made.read_bytes())
    done = auditor(made, tmp_path, "evidence.zip")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "OK"
    assert "trusted on first use" in done.stdout
    found = json.loads(auditor(made, tmp_path, "evidence.zip", "--json").stdout)
    assert found["ok"] is True
    assert [run["status"] for run in found["runs"]] == ["completed", "completed"]


def test_bare_python_says_what_does_not_hold_and_ends_with_1(made: Path, tmp_path: Path) -> None:
    files = evidence_store.read(made)
    name = next(each for each in files if each.endswith("output.txt"))
    bad = evidence_store.sealed(evidence_store.changed(files, name, lambda data: b"x" + data[1:]))
    evidence_store.write(tmp_path / "evidence.zip", bad)
    done = auditor(made, tmp_path, "evidence.zip")
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "output is not the value that was recorded" in done.stdout
    assert auditor(made, tmp_path).returncode == 2


def test_a_file_that_cannot_be_read_is_an_error_of_the_command_and_no_verdict(made: Path, tmp_path: Path) -> None:
    for name, fault in (("no.zip", "no.zip: No such file"), ("check", "check: Is a directory")):
        done = auditor(made, tmp_path, name)
        assert (done.returncode, done.stdout, fault in done.stderr) == (2, "", True)


def _flipped(at: float) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        place = min(int(len(data) * at), len(data) - 1)
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :] if data else b"\n"

    return change


def test_every_file_with_one_byte_changed_is_refused(made: Path, tmp_path: Path) -> None:
    files = evidence_store.read(made)
    assert check.check(evidence_store.write(tmp_path / "good.zip", files)).is_ok
    for name in files:
        for at in (0, 0.3, 0.7, 1):
            changed = evidence_store.changed(files, name, _flipped(at))
            assert not check.check(evidence_store.write(tmp_path / "bad.zip", changed)).is_ok, (name, at)


def test_a_changed_file_is_refused_also_under_a_new_manifest(made: Path, tmp_path: Path) -> None:
    files = evidence_store.read(made)
    for name in sorted({*files} - {container.MANIFEST, texts.SCRIPT, *texts.PROGRAM}):
        for at in (0, 0.5, 1):
            changed = evidence_store.sealed(evidence_store.changed(files, name, _flipped(at)))
            assert not check.check(evidence_store.write(tmp_path / "bad.zip", changed)).is_ok, (name, at)


def test_another_verifier_inside_is_named(made: Path, tmp_path: Path) -> None:
    changed = evidence_store.changed(evidence_store.read(made), texts.SCRIPT, lambda data: data + b"# other\n")
    found = check.check(evidence_store.write(tmp_path / "other.zip", evidence_store.sealed(changed)))
    assert found.is_ok
    assert any("verify_evidence.py" in note for note in found.notes)


def test_a_changed_byte_of_the_container_is_refused_where_it_changes_anything(made: Path, tmp_path: Path) -> None:
    whole, path, files = made.read_bytes(), tmp_path / "bad.zip", evidence_store.read(made)
    chosen = random.Random(1).sample(range(len(whole)), 200)
    for at in [*range(64), *range(len(whole) - 120, len(whole)), *chosen]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        # The bits behind the end of a compressed file carry nothing.
        assert not check.check(path).is_ok or evidence_store.read(path) == files, at


def test_bytes_and_files_that_belong_to_nothing_are_refused(made: Path, tmp_path: Path) -> None:
    whole, path, files = made.read_bytes(), tmp_path / "bad.zip", evidence_store.read(made)
    for bad in (b"x" + whole, whole + b"x", whole[:-1], b"", b"PK\x05\x06" + b"\x00" * 18):
        path.write_bytes(bad)
        assert not check.check(path).is_ok
    with_more = evidence_store.sealed({**files, "runs/notes.txt": b"more"})
    found = check.check(evidence_store.write(path, with_more))
    assert found.failures == ["runs/notes.txt belongs to nothing"]
    assert "is missing" in check.check(evidence_store.write(path, dict(list(files.items())[:-2]))).failures[0]


BROKEN = [b"", b"[]", b"{}", b"null", b"[" * 100_000, b'{"a":1,"a":2}', b'{"a":1.5}', b"\xff", b"1" * 10_000]


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_files_of_another_form_are_refused_and_never_break_the_verifier(
    content: bytes, made: Path, tmp_path: Path
) -> None:
    files = evidence_store.read(made)
    for name in [each for each in files if each not in (texts.SCRIPT, *texts.PROGRAM)]:
        changed = {**files, name: content}
        if name != container.MANIFEST:
            changed = evidence_store.sealed(changed)
        assert not check.check(evidence_store.write(tmp_path / "bad.zip", changed)).is_ok, name


def test_the_verifier_needs_python_39_and_its_library_alone() -> None:
    for name in (f"receiver/verifier/{texts.SCRIPT}", *texts.PROGRAM):
        tree = ast.parse((SOURCES / name).read_text(), feature_version=(3, 9))
        imported = [each.module or "" for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)]
        imported += [each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names]
        ours = [each for each in imported if each.split(".")[0] == "receiver"]
        assert all(each.startswith("receiver.verifier") for each in ours)
        assert {each.split(".")[0] for each in imported} - {"receiver"} <= sys.stdlib_module_names
