"""Senders of callbacks and signed events in addition to the sandbox, which keep the receipt of each 2xx."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx

from tests.faults import retrying_client

#: Shares of the sandbox's sends that are repeated once, and so often that some repeats are only counted.
COPIED, FLOODED = 0.3, 0.005
FLOOD = 30
#: Seconds between two events of one sender about unknown runs.
BETWEEN = (0.02, 0.2)

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Receipt:
    """A delivery that was acknowledged. `key` is our run's id on the source `watcher`, else the event's id."""

    source: str
    key: str
    id: str
    verdict: str
    body_sha256: str


class Sender:
    """Send deliveries, each until it is acknowledged."""

    def __init__(self, caller: retrying_client.Caller, secret: str) -> None:
        self._caller = caller
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self.receipts: list[Receipt] = []

    async def send_unknown(self, until: asyncio.Event) -> None:
        """Send genuine events about runs that were submitted elsewhere, one after the other."""
        while not until.is_set():
            number = self._caller.chance.getrandbits(64)
            run = {"runId": f"run_{number:016x}", "agentId": "agent_elsewhere", "status": "completed"}
            await self.event({"id": f"evt_{number:016x}", "type": "agent.run.completed", "data": run})
            await self._caller.sleep(*BETWEEN)

    async def repeat(self, sent: Json) -> None:
        """Repeat some of what the sandbox has sent, or lost, once or many times."""
        drawn = self._caller.chance.random()
        copies = FLOOD if drawn < FLOODED else int(drawn < COPIED)
        if copies:
            await self._caller.sleep(0.0, 2.0)
            await asyncio.gather(*(self._again(sent) for _ in range(copies)))

    async def _again(self, sent: Json) -> None:
        if sent["kind"] == "callback":
            await self.callback(sent["url"], sent["body"])
        else:
            await self.event(sent["body"])

    async def callback(self, url: str, body: Json) -> None:
        """Send a watcher's callback to its address."""
        raw = json.dumps(body).encode()
        await self._send("callback", url, raw, {}, "watcher", run_of(url))

    async def event(self, body: Json) -> None:
        """Send a platform event under a delivery id of its own, signed anew for each try."""
        raw = json.dumps(body).encode()
        delivery, timestamp = f"dlv_{self._caller.chance.getrandbits(64):016x}", str(int(time.time()))
        mac = hmac.new(self._key, f"{delivery}.{timestamp}.".encode() + raw, hashlib.sha256)
        headers = {
            "case-webhook-id": delivery,
            "case-webhook-timestamp": timestamp,
            "case-webhook-signature": "v1," + base64.b64encode(mac.digest()).decode(),
        }
        await self._send("event", "/webhooks/case", raw, headers, "platform", str(body["id"]))

    async def _send(
        self, what: str, url: str, raw: bytes, headers: Mapping[str, str], source: str, key: str
    ) -> None:
        answer = await self._caller.retry(what, "POST", url, content=raw, headers=headers)
        if answer is not None and answer.is_success:
            self._keep(answer, source, key, raw)

    def _keep(self, answer: httpx.Response, source: str, key: str, raw: bytes) -> None:
        body = answer.json()
        self.receipts.append(
            Receipt(source, key, body["receipt"], body["verdict"], hashlib.sha256(raw).hexdigest())
        )


def run_of(url: str) -> str:
    """Return our id of the run for which a callback address was made: the part before the signature."""
    return url.rpartition("/")[2].partition(".")[0]
