"""The sandbox in a process of its own, with details of ended runs of a given size, made beforehand.

The product fetches them over a real socket. They have the sandbox's form, and texts whose words have a natural
frequency; making them for each call would take longer than storing them. GET /bench/seconds answers how long the
details of each run took here.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
import uvicorn
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver.sandbox import app as imitation
from receiver.sandbox import faults, messages, state
from tests import server
from tests.bench.query import store
from tests.patience import until
from tests.sandbox_server import PLAIN

#: Steps of a run, and entries of its usage.
STEPS, ENTRIES = 20, 3
#: Bytes of the documents that are made beforehand, all together; each run gets the next one.
MADE = 2_000_000
#: Details as a JSON object.
Details = dict[str, Any]
_DETAILS = re.compile(r"/agent/v1/run/(\w+)/details")
_ID = b"run_of_the_document"


@dataclass
class Upstream:
    """The sandbox, whose details are those of `documents`."""

    sandbox: ASGIApp
    documents: Iterator[bytes]
    seconds: dict[str, float] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        named = _DETAILS.fullmatch(scope.get("path", ""))
        if named is not None:
            content = next(self.documents).replace(_ID, named[1].encode())
            await Response(content, media_type="application/json")(scope, receive, send)
            self.seconds[named[1]] = time.perf_counter() - began
        elif scope.get("path") == "/bench/seconds":
            await JSONResponse(self.seconds)(scope, receive, send)
        else:
            await self.sandbox(scope, receive, send)


def documents(size: int) -> Sequence[bytes]:
    """Return details of completed runs, of about `size` bytes each."""
    texts, switches = store.Texts(pool=5000), faults.Injector(faults.Faults(), 1)
    world = state.World(1, 1.0, time.time, switches)
    agent = world.add_agent({"name": "Legal Researcher", "instructions": "Research and report."})
    runs = [world.add_past(agent, "Review the lease.", "completed", 60) for _ in range(max(20, MADE // size))]
    return [_document(texts, state.details(run, time.time()), size) for run in runs]


def _document(texts: store.Texts, shown: Details, size: int) -> bytes:
    last = shown["steps"][-1]
    kept = {"type": "thinking", "content": "", "durationMs": last["durationMs"], "timestamp": last["timestamp"]}
    steps = [{"id": f"step_{at}", **kept} for at in range(STEPS)]
    shown |= {"id": _ID.decode(), "steps": steps}
    shown["usage"]["entries"] = shown["usage"]["entries"][:ENTRIES]
    shown["result"]["output"] = texts.of(3)
    left = max(0, size - len(messages.encoded(shown))) // STEPS
    for step in steps:
        step["content"] = texts.of(left // 60 + 1)[:left]
    return messages.encoded(shown)


@contextmanager
def running(size: int) -> Iterator[str]:
    """Run it in a process of its own; return its address."""
    port = server.free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.upstream", str(port), str(size)])
    try:
        until(lambda: server.listens(port), why="the upstream did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def seconds(url: str) -> dict[str, float]:
    """Return how long the details of each run took, by upstream id."""
    found: dict[str, float] = httpx.get(f"{url}/bench/seconds", **PLAIN).json()
    return found


if __name__ == "__main__":
    sandbox = imitation.Sandbox(seed=1, run_seconds=0.0, switches=faults.Faults())
    served = Upstream(sandbox, itertools.cycle(documents(int(sys.argv[2]))))
    uvicorn.run(served, port=int(sys.argv[1]), log_config=None, access_log=False, ws="none")
