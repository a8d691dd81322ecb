"""Copies of a site's store, made and put back by the commands and tools that an operator has."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from typer.testing import CliRunner

from receiver.cli import main
from receiver.cli.commands import backup
from tests import postgres
from tests.server import Site

#: Makes a database in which nothing is, and tells its address.
Fresh = Callable[[], str]


def typed(site: Site, *words: str) -> str:
    """What a command prints at a site, with PostgreSQL's own tools at hand."""
    path = f"{postgres.TOOLS}:{os.environ['PATH']}"
    shown = CliRunner().invoke(main.app, list(words), env={**site.environment, "PATH": path})
    assert shown.exit_code == 0, shown.output
    return shown.stdout


def taken(site: Site, file: Path) -> None:
    """A copy by `runledger backup`."""
    typed(site, "backup", str(file))


def put_back(site: Site, file: Path, folder: Path, fresh: Fresh) -> Site:
    """A site on which the copy was restored, as the manual says."""
    if not site.database_url:
        restored = Site(folder, secret_keys=site.secret_keys)
        typed(restored, "restore", str(file))
        return restored
    restored = loaded(site, file, folder, fresh)
    typed(restored, "restored", "--force")
    return restored


def loaded(site: Site, file: Path, folder: Path, fresh: Fresh) -> Site:
    """A site with the bare content of a copy: nothing was said to it."""
    if site.database_url:
        url = fresh()
        line = [
            str(postgres.TOOLS / "pg_restore"),
            *backup.RESTORE,
            f"--dbname={url.replace('+psycopg', '')}",
            str(file),
        ]
        subprocess.run(line, check=True, capture_output=True)
        return Site(folder, url, secret_keys=site.secret_keys)
    with closing(sqlite3.connect(file)) as copy:
        copy.execute("VACUUM INTO ?", (str(folder / "runledger.db"),))
    with closing(sqlite3.connect(folder / "runledger.db", isolation_level=None)) as made:
        made.execute("UPDATE system_state SET copied_at = NULL")
    return Site(folder, secret_keys=site.secret_keys)
