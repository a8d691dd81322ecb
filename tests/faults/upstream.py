"""The sandbox as a process of its own with moderate faults, and its journal."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx

from tests import sandbox_server
from tests.faults import sending

#: Seconds that a run takes, about; and after which a delayed create is performed.
RUN_SECONDS, LATE = 1.0, 7.0
#: Answers that are lost, late or useless; a create that is performed after its callers gave up.
SCRIPT = [
    {"route": "create", "probability": 0.04, "action": "lose_answer"},
    {"route": "create", "probability": 0.02, "action": f"delay:{LATE}"},
    {"route": "create", "probability": 0.03, "action": "hang:0.7"},
    {"route": "create", "probability": 0.01, "action": "truncated"},
    {"route": "exec", "probability": 0.04, "action": "lose_answer"},
    {"route": "exec", "probability": 0.03, "action": "hang:0.7"},
    {"route": "details", "probability": 0.02, "action": "status:503"},
    {"route": "list", "probability": 0.01, "action": "html:502"},
]
SWITCHES: Mapping[str, object] = {
    "callback_duplicates": 1,
    "callback_drop_rate": 0.35,
    "event_drop_rate": 0.35,
    "retry_backoff": 0.3,
    "fail_rate": 0.1,
    "rate_limit": 0.002,
    "calls_per_minute": 100_000,  # a window that is spent would stop all work until the next minute
    "latency": 0.01,
    "script": SCRIPT,
}
#: The same as a text.
DESCRIPTION = (
    "a third of callbacks and of events is never sent, callbacks come twice, a tenth of the runs fails; 4% of the "
    "answers to create and to exec are lost, others come late, are cut in half or useless; 2% of the creates are "
    f"performed only after {LATE:.0f} s, when all callers have given up."
)
#: Seconds between two reads of the journal.
INTERVAL = 0.5

Json = dict[str, Any]


@contextmanager
def running(seed: int) -> Iterator[sandbox_server.Sandbox]:
    """Run `runledger sandbox` for as long as the block."""
    command = [sys.executable, "-m", "receiver", "sandbox", "--port", "0", "--json", "--seed", str(seed)]
    command += ["--run-seconds", str(RUN_SECONDS)]
    for name, value in SWITCHES.items():
        command += ["--fault", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield sandbox_server.Sandbox(json.loads(process.stdout.readline())["address"])
        finally:
            process.terminate()


@dataclass
class Journal:
    """The calls to the sandbox, the faults of their answers, and which of its own sends were acknowledged."""

    calls: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    #: Attempts that were answered 2xx, by source and by run or event.
    acknowledged: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Attempts whose answers a genuine delivery must not get.
    unexpected: list[str] = field(default_factory=list)
    _noted: set[int] = field(default_factory=set)
    _reported: set[tuple[str, str]] = field(default_factory=set)

    async def follow(self, url: str, until: asyncio.Event, on_sent: Callable[[Json], None]) -> None:
        """Read until `until` is set, then once more, and report each thing that is sent for the first time."""
        seen = 0
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
            is_last = False
            while not is_last:
                is_last = until.is_set()
                seen = await self._read(client, seen, on_sent)
                await asyncio.sleep(0 if is_last else INTERVAL)

    async def _read(self, client: httpx.AsyncClient, seen: int, on_sent: Callable[[Json], None]) -> int:
        """Record what is new since `seen`; return the index up to which everything sent has ended."""
        answer = await client.get("/sandbox/journal", params={"after": seen})
        page = answer.raise_for_status().json()
        for call in page["requests"]:
            self._note_call(call)
        for sent in page["sent"]:
            if sent["status"] is not None or sent["error"] is not None:
                self._note_sent(sent, on_sent)
        under_way = [each["seq"] for each in page["sent"] if each["status"] is None and each["error"] is None]
        newest = max((each["seq"] for each in (*page["requests"], *page["sent"])), default=seen)
        return min(under_way, default=newest + 1) - 1

    def _note_call(self, call: Json) -> None:
        if self._is_new(call) and call["route"] is not None:
            self.calls[call["route"]] += 1
            if call["fault"] is not None:
                self.faults[f"{call['route']} {call['fault']}"] += 1

    def _note_sent(self, sent: Json, on_sent: Callable[[Json], None]) -> None:
        if not self._is_new(sent):
            return
        status = sent["status"] or 0
        key = key_of(sent)
        self.sent[f"{sent['kind']} {_outcome(sent)}"] += 1
        if 200 <= status < 300:
            self.acknowledged[key] += 1
        elif status not in (0, 502, 503):
            self.unexpected.append(f"{sent['kind']} of the sandbox: {status}")
        if key not in self._reported:
            self._reported.add(key)
            on_sent(sent)

    def _is_new(self, entry: Json) -> bool:
        is_new = entry["seq"] not in self._noted
        self._noted.add(entry["seq"])
        return is_new


def key_of(sent: Json) -> tuple[str, str]:
    """Return the source of a callback or event, and the key of its deliveries."""
    return ("watcher", sending.run_of(sent["url"])) if sent["kind"] == "callback" else ("platform", sent["event"])


def _outcome(sent: Json) -> str:
    if sent["status"] is None:
        return "dropped" if sent["error"] == "dropped" else "unanswered"
    return str(sent["status"])
