"""Backends that submit runs with idempotency keys and retry until they are acknowledged; some give up."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2 as httpx

from tests.faults import retrying_client

#: Shares of submissions: whose sender gives up at the first failure, that are submitted twice, waited for in the
#: request, polled until their end, cancelled.
GIVES_UP, TWICE, WAITED, FOLLOWED, CANCELLED = 0.1, 0.05, 0.1, 0.15, 0.05
#: Seconds between two submissions of one backend.
BETWEEN = (0.1, 0.9)
ENDED = ("completed", "failed", "cancelled", "refused")


@dataclass
class Submission:
    """A submission, and what its sender got: our id once it was acknowledged, whether its cancel was accepted.

    `others` are ids that a further acknowledgement gave in place of the first.
    """

    nonce: str
    run_id: str | None = None
    is_cancelled: bool = False
    others: tuple[str, ...] = ()


class Backend:
    """Submits one run after the other until `until` is set."""

    def __init__(self, caller: retrying_client.Caller, agents: Sequence[str]) -> None:
        self._caller, self._agents = caller, agents
        self.submissions: list[Submission] = []

    async def run(self, until: asyncio.Event) -> None:
        """Submit until `until` is set, and finish the submission that is open then."""
        while not until.is_set():
            made = Submission(f"nonce_{uuid.UUID(int=self._caller.chance.getrandbits(128)).hex}")
            self.submissions.append(made)
            await self._submit(made)
            await self._caller.sleep(*BETWEEN)

    async def _submit(self, made: Submission) -> None:
        chance = self._caller.chance
        body = {"agentId": chance.choice(self._agents), "prompt": f"Find every force majeure clause. {made.nonce}"}
        if chance.random() < 0.3:
            body["guidance"] = "Cite the page."
        headers = {"Idempotency-Key": made.nonce}
        if chance.random() < WAITED:
            headers["Prefer"] = "wait=2"
        tries = 1 if chance.random() < GIVES_UP else 1000
        for _ in range(2 if chance.random() < TWICE else 1):
            answer = await self._caller.retry(
                "submit", "POST", "/v1/runs", json=body, headers=headers, tries=tries
            )
            _note(made, answer)
        if made.run_id is not None:
            await self._follow(made, made.run_id)

    async def _follow(self, made: Submission, run_id: str) -> None:
        chance, address = self._caller.chance, f"/v1/runs/{run_id}"
        if chance.random() < CANCELLED:
            await self._caller.sleep(0.0, 1.5)
            answer = await self._caller.retry("cancel", "POST", f"{address}/cancel")
            made.is_cancelled = answer is not None and answer.status_code == 202
        if chance.random() < FOLLOWED:
            for _ in range(60):
                answer = await self._caller.retry("get", "GET", address)
                if answer is None or not answer.is_success or answer.json()["status"] in ENDED:
                    return
                await self._caller.sleep(0.2, 0.6)


def _note(made: Submission, answer: httpx.Response | None) -> None:
    """Record an acknowledgement; a second one of the same key must not name another run."""
    if answer is None or not answer.is_success:
        return
    run_id = str(answer.json()["id"])
    if made.run_id not in (None, run_id):
        made.others += (run_id,)
    made.run_id = made.run_id or run_id
