"""Copies of a database server's store, which its own tools make."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from receiver import clock
from receiver.cli import figures, opening, sentences
from storage import backup, columns, dumping

#: Lines of a tool's complaint that are passed on.
LINES = 5
#: How a dump is put back: all of it or nothing.
RESTORE = ("--no-owner", "--exit-on-error", "--single-transaction")


def dump(url: str, file: Path, *, force: bool, as_json: bool) -> None:
    """Has `pg_dump` write the store into a file, and `pg_restore` read it. Raises Complaint, Occupied."""
    tool, target, now = shutil.which("pg_dump"), file.absolute(), clock.now()
    backup.demand_free(target, replace=force)
    if tool is None:
        line = shlex.join(["pg_dump", "--format=custom", f"--file={file}", dumping.typed(url)])
        raise sentences.Complaint(
            "pg_dump copies a PostgreSQL, and is not here: install the client of the server's version, or type "
            f"where it is: {line}"
        )
    with backup.aside(target) as path, _address(url, path) as address:
        _run([tool, "--format=custom", f"--file={path}", f"--dbname={address}"])
        tables = _tables(tool, path)
        size = path.stat().st_size
        backup.install(path, target, replace=force)
    if as_json:
        told = {"file": str(target), "bytes": size, "tables": tables, "takenAt": columns.text(now)}
        print(json.dumps(told))
        return
    print(f"{opening.short(file)} holds {tables} tables, in {figures.size(size)}, as of {figures.instant(now)}.")
    print("Keep RUNLEDGER_SECRET_KEYS as well, and apart from it: the copy cannot be used in full without.")


def _tables(tool: str, path: Path) -> int:
    """How many tables' rows a dump says that it holds."""
    reader = Path(tool).with_name("pg_restore")
    listed = _run([str(reader) if reader.exists() else "pg_restore", "--list", str(path)])
    return sum(" TABLE DATA " in line for line in listed.splitlines())


@contextlib.contextmanager
def _address(url: str, beside: Path) -> Iterator[str]:
    """The address for a tool; the password stands in a file as long as it is needed."""
    address, password = dumping.address(url)
    if password is None:
        yield address
        return
    with backup.aside(beside) as path:
        path.write_text(dumping.passfile(password))
        os.chmod(path, 0o600)
        yield f"{address} passfile={dumping.quoted(str(path))}"


def _run(words: list[str]) -> str:
    """What a tool prints. Raises Complaint with its own words where it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, errors="replace")
    except OSError as error:
        raise sentences.Complaint(f"{words[0]} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise sentences.Complaint(f"{Path(words[0]).name} failed: {' '.join(said[:LINES])}")
    return done.stdout


def how_to_restore(url: str, file: Path) -> str:
    """The lines that put a dump back, for who has to type them."""
    line = shlex.join(["pg_restore", *RESTORE, f"--dbname={dumping.typed(url)}", str(file)])
    return (
        f"pg_restore puts it back: stop every server, make an empty database, and type {line} and then, before "
        "any server is started on it, `runledger restored`"
    )
