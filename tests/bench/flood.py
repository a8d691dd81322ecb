"""`make bench-flood`: a flood of every sort for a minute, and the server's memory during it.

The server is a process of its own on loopback. The report has its memory every ten seconds, the answers by sort,
whether every 2xx is in the database, and how long it took to stop with all connections open. ARGS may be
`--seconds N`, `--database postgresql`, and `--before N`: N valid callbacks come before the flood and fill the
cache of SQLite.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

from receiver import settings, signing_keys
from receiver.crypto import signatures, tokens
from tests import server
from tests.bench import load, product, resources, storm

#: Seconds between two measurements of the server's memory.
INTERVAL = 10


async def run_flood(
    flood: storm.Flood, seconds: float, measure: Callable[[int], None], stop: Callable[[], int]
) -> int:
    """Run the flood and record the server's memory; return the server's exit code when it is stopped during it."""
    running = asyncio.ensure_future(flood.run(seconds + 60))
    for passed in range(0, int(seconds) + 1, INTERVAL):
        measure(passed)
        await asyncio.wait([running], timeout=min(INTERVAL, seconds))
    flood.is_stopping, began = True, time.monotonic()
    code = await asyncio.to_thread(stop)
    print(f"stopped with code {code} in {time.monotonic() - began:.1f} s")
    running.cancel()
    await asyncio.wait([running])
    return code


def main() -> int:
    """Flood and report; return 1 where a valid callback was refused for good, or is not in the database."""
    parser = argparse.ArgumentParser(prog="make bench-flood")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--before", type=int, default=50_000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    given: dict[str, Any] = {"webhook_secrets": product.SECRET, "public_url": "", "log_level": "error"}
    timing = {"pause": 600.0, "pause_most": 600.0, "slow_body": 10.0}
    with (
        product.site(args.database) as place,
        server.running(place, "http://127.0.0.1:9", timing=timing, **given) as ours,
    ):
        signer = tokens.Signer(signing_keys.of_addresses(settings.load(env_file=None, **place.settings)))
        flood = storm.Flood(ours.port, signatures.decode(product.SECRET), signer)

        def print_memory(passed: int) -> None:
            print(f"after {passed:3} s: {resources.memory(ours.pid):6.1f} MB", flush=True)

        print(f"at the start: {resources.memory(ours.pid):6.1f} MB", flush=True)
        before = load.events(flood.secret, args.before, "before", "h")
        tally, _ = uvloop.run(load.run(ours.port, before, 32))
        code = uvloop.run(run_flood(flood, args.seconds, print_memory, ours.stop))
        return code or report(flood, product.stored_deliveries(ours) - len(tally.seconds))


def report(flood: storm.Flood, known: int) -> int:
    """Print the answers by sort; return 1 where a valid callback is missing."""
    for sort in storm.SORTS:
        counts = [
            f"{status}: {count:,}" for (name, status), count in sorted(flood.answers.items()) if name == sort
        ]
        print(f"{sort:9} {', '.join(counts)}")
    all_of_them = flood.answers + flood.late
    valid = {status: sum(all_of_them[sort, status] for sort in storm.VALID) for status in ("200", "503", "cut")}
    lost = sum(count for (sort, _), count in all_of_them.items() if sort in storm.VALID) - sum(valid.values())
    print(f"{valid['200']:,} valid callbacks answered 2xx, {known:,} stored; {lost} refused for good")
    # Some of those that were cut off may have been committed; they are sent again.
    return 0 if valid["200"] <= known <= valid["200"] + valid["cut"] and not lost else 1


if __name__ == "__main__":
    sys.exit(main())
