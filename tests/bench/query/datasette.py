"""Datasette on the same file, in an environment of its own, because it requires another httpx."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests import server
from tests.bench.query import peer, store
from tests.patience import until

ROOT = Path(__file__).parent.parent.parent.parent
PLACE = ROOT / ".bench" / "datasette"
REQUIREMENTS = Path(__file__).parent / "datasette.txt"
SETTINGS = {"sql_time_limit_ms": "5000", "default_page_size": "50", "facet_time_limit_ms": "50"}


@contextmanager
def serving(path: Path) -> Iterator[tuple[int, int] | None]:
    """Return its port and its process id; print and return None where it cannot be installed."""
    if not _installed():
        print("\nDatasette: not measured, it could not be installed into .bench/")
        yield None
        return
    port = server.free_port()
    options = [item for name, value in SETTINGS.items() for item in ("--setting", name, value)]
    started = [str(PLACE / "bin" / "datasette"), "serve", str(path), "--port", str(port), *options]
    process = subprocess.Popen(started, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: server.listens(port), why="Datasette did not start")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def _installed() -> bool:
    if (PLACE / "bin" / "datasette").exists():
        return True
    made = subprocess.run([sys.executable, "-m", "venv", str(PLACE)], capture_output=True, check=False)
    pip = [str(PLACE / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes", "-r"]
    return made.returncode == 0 and subprocess.run([*pip, str(REQUIREMENTS)], check=False).returncode == 0


def questions(count: int, texts: store.Texts) -> Mapping[str, Sequence[str]]:
    """Return the statements of the bare peer as canned queries, without counts and facets."""
    given = {
        "newest list": ("/newest", ""),
        "deep page": ("/deep", f"&seq={count // 2}"),
        "agent + state": ("/agent", "&q=agent_3"),
        "tag": ("/tag", "&q=client_9"),
        "cost order": ("/cost", ""),
        "common word": ("/word", f"&q={texts.common}"),
        "its steps": ("/steps", f"&seq={count // 2}"),
    }
    return {
        name: [f"/runledger.json?sql={quote(peer.STATEMENTS[path])}{values}"]
        for name, (path, values) in given.items()
    }
