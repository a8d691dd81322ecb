"""`make bench-flood`: a flood of every sort for a minute, and what the server holds meanwhile.

The server is a process of its own on loopback. Reported are its memory every ten seconds, the answers by sort,
whether every 2xx is in the database, and how long it took to stop with all connections open. ARGS may say
`--seconds N`, `--database postgresql`, and `--before N`: so many good ones come before the flood, until SQLite
keeps as much of its file in memory as it ever will.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from receiver import settings
from receiver.crypto import signatures, tokens
from tests import server
from tests.bench import load, storm
from tests.bench.__main__ import SECRET, found, site

#: Seconds between two looks at the server's memory.
LOOK = 10


def memory(pid: int) -> float:
    """Megabytes that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


async def flooded(flood: storm.Flood, seconds: float, look: Callable[[int], None], stop: Callable[[], int]) -> int:
    """Runs the flood, looking at the server meanwhile; its exit code when it is stopped in the midst of it."""
    running = asyncio.ensure_future(flood.run(seconds + 60))
    for passed in range(0, int(seconds) + 1, LOOK):
        look(passed)
        await asyncio.wait([running], timeout=min(LOOK, seconds))
    flood.is_stopping, began = True, time.monotonic()
    code = await asyncio.to_thread(stop)
    print(f"stopped with code {code} in {time.monotonic() - began:.1f} s")
    running.cancel()
    await asyncio.wait([running])
    return code


def main() -> int:
    """Floods and reports; 1 where a good one was turned away for good, or is not in the database."""
    wanted = argparse.ArgumentParser(prog="make bench-flood")
    wanted.add_argument("--seconds", type=int, default=60)
    wanted.add_argument("--before", type=int, default=50_000)
    wanted.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    args = wanted.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    given: dict[str, Any] = {"webhook_secrets": SECRET, "public_url": "", "log_level": "error"}
    quiet = {"pause": 600.0, "pause_most": 600.0, "slow_body": 10.0}
    with (
        site(args.database) as place,
        server.running(place, "http://127.0.0.1:9", timing=quiet, **given) as ours,
    ):
        signer = tokens.Signer(settings.signing_keys(settings.load(env_file=None, **place.settings)))
        flood = storm.Flood(ours.port, signatures.decode(SECRET), signer)

        def look(passed: int) -> None:
            print(f"after {passed:3} s: {memory(ours.pid):6.1f} MB", flush=True)

        print(f"at the start: {memory(ours.pid):6.1f} MB", flush=True)
        before = load.events(flood.secret, args.before, "before", "h")
        tally, _ = uvloop.run(load.run(ours.port, before, 32))
        code = uvloop.run(flooded(flood, args.seconds, look, ours.stop))
        return code or report(flood, found(ours) - len(tally.seconds))


def report(flood: storm.Flood, known: int) -> int:
    """The answers by sort; 1 where something good is missing."""
    for sort in storm.SORTS:
        counts = [
            f"{status}: {count:,}" for (name, status), count in sorted(flood.answers.items()) if name == sort
        ]
        print(f"{sort:9} {', '.join(counts)}")
    all_of_them = flood.answers + flood.late
    good = {status: sum(all_of_them[sort, status] for sort in storm.GOOD) for status in ("200", "503", "cut")}
    lost = sum(count for (sort, _), count in all_of_them.items() if sort in storm.GOOD) - sum(good.values())
    print(f"{good['200']:,} good ones answered 2xx, {known:,} found; {lost} turned away for good")
    # Of those that were cut off some may have been committed, and are sent again.
    return 0 if good["200"] <= known <= good["200"] + good["cut"] and not lost else 1


if __name__ == "__main__":
    sys.exit(main())
