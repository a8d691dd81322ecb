"""Submit one run, wait for its end, print the output. Needs nothing but Python.

    LEDGER_URL=http://127.0.0.1:8080 LEDGER_KEY=rl_… python submit_and_wait.py AGENT "Summarize the depositions."

Exit codes: 0 the run completed, 1 it ended otherwise.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

ENDED = ("completed", "failed", "cancelled", "refused")


def call(method: str, path: str, body: Any = None, **headers: str) -> Any:
    """Call Runledger. 503 and 429 are repeated: nothing was stored, or the idempotency key makes it harmless."""
    request = urllib.request.Request(
        os.environ["LEDGER_URL"] + path,
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {os.environ['LEDGER_KEY']}", "Content-Type": "application/json", **headers},
        method=method,
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as problem:
            if problem.code not in (429, 503):
                sys.exit(f"{problem.code}: {problem.read().decode()}")
            time.sleep(float(problem.headers.get("Retry-After", 5)))


def main(agent: str, prompt: str) -> int:
    """Submit the run, ask for it until it has ended, print what came out."""
    once = {"Idempotency-Key": str(uuid.uuid4()), "Prefer": "wait=30"}
    run = call("POST", "/v1/runs", {"agentId": agent, "prompt": prompt}, **once)
    while run["status"] not in ENDED:
        time.sleep(2)
        run = call("GET", f"/v1/runs/{run['id']}")
    print(run["output"] or run["failureReason"])
    return 0 if run["status"] == "completed" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
