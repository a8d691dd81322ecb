"""Submit one run, wait for its end, print the output.

    LEDGER_URL=http://127.0.0.1:8080 LEDGER_KEY=rl_… python submit_and_wait.py AGENT "Summarize the depositions."

Exit codes: 0 the run completed, 1 it ended otherwise.
"""

from __future__ import annotations

import os
import sys

from receiver.client import Client, RunledgerError


def main(agent: str, prompt: str) -> int:
    """Submit the run, wait until it has ended, print what came out."""
    with Client(os.environ["LEDGER_URL"], os.environ["LEDGER_KEY"]) as ledger:
        try:
            run = ledger.wait(ledger.submit(agent, prompt, wait=30)["id"])
        except RunledgerError as error:
            sys.exit(str(error))
    print(run["output"] or run["failureReason"])
    return 0 if run["status"] == "completed" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
