"""Keep the files of tests in memory where the system has room for them.

Each commit of a SQLite file waits for the disk, in tests thousands of times. What tests end abruptly are
processes, never the machine, so that a file system in memory shows them the same.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

#: Where Linux keeps files in memory.
FOLDER = Path("/dev/shm")
#: Bytes that must be free: what a whole run leaves there, and as much again.
ROOM = 2 << 30


def use() -> None:
    """Let this process and those that it starts make their temporary files in memory."""
    if "TMPDIR" not in os.environ and os.access(FOLDER, os.W_OK) and shutil.disk_usage(FOLDER).free > ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(FOLDER)
