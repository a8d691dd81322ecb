"""Back up the database of a site and restore it, with the commands and tools that an operator has."""

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

#: Makes a database without tables, and returns its address.
Fresh = Callable[[], str]


def run_command(site: Site, *words: str) -> str:
    """Run a command on a site, with PostgreSQL's own tools in the path; return what it prints."""
    path = f"{postgres.TOOLS}:{os.environ['PATH']}"
    shown = CliRunner().invoke(main.app, list(words), env={**site.environment, "PATH": path})
    assert shown.exit_code == 0, shown.output
    return shown.stdout


def back_up(site: Site, file: Path) -> None:
    """Back up a site with `runledger backup`."""
    run_command(site, "backup", str(file))


def restore(site: Site, file: Path, folder: Path, fresh: Fresh) -> Site:
    """Restore a backup as the manual describes; return the site."""
    if not site.database_url:
        restored = Site(folder, secret_keys=site.secret_keys, ledger_keys=site.ledger_keys)
        run_command(restored, "restore", str(file))
        return restored
    restored = load_content(site, file, folder, fresh)
    run_command(restored, "restored", "--force")
    return restored


def load_content(site: Site, file: Path, folder: Path, fresh: Fresh) -> Site:
    """Load the content of a backup without the commands that mark a database as restored; return the site."""
    if site.database_url:
        url = fresh()
        line = [
            str(postgres.TOOLS / "pg_restore"),
            *backup.RESTORE,
            f"--dbname={url.replace('+psycopg', '')}",
            str(file),
        ]
        subprocess.run(line, check=True, capture_output=True)
        return Site(folder, url, secret_keys=site.secret_keys, ledger_keys=site.ledger_keys)
    with closing(sqlite3.connect(file)) as copy:
        copy.execute("VACUUM INTO ?", (str(folder / "runledger.db"),))
    with closing(sqlite3.connect(folder / "runledger.db", isolation_level=None)) as made:
        made.execute("UPDATE system_state SET copied_at = NULL")
    return Site(folder, secret_keys=site.secret_keys, ledger_keys=site.ledger_keys)
