"""What a server records is proved by its signed tree, in the forms that others check."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import httpx2 as httpx

from receiver.crypto import log_keys
from receiver.verifier import ed25519, public_forms
from tests.journeys import harness
from tests.journeys.judging import judge
from tests.patience import until


def test_all_entries_of_a_run_come_under_a_signed_checkpoint(deployment: harness.Deployment, nonce: str) -> None:
    run = deployment.submit(nonce)
    judge(deployment, nonce, settled_by="watcher")
    until(lambda: "run.completed" in _proved(deployment.api, run["id"]))
    kinds = _proved(deployment.api, run["id"])
    assert kinds == deployment.ledger_kinds(run)
    signer = log_keys.parse(deployment.server.site.ledger_keys)
    policy = public_forms.parse_policy(f"log {signer.verifier_key}\nquorum none\n".encode())
    found = public_forms.parse_checkpoint(deployment.api.get("/v1/ledger/checkpoint").content)
    assert public_forms.trust(found, policy, ed25519.verify).logs == [signer.name]


def _proved(api: httpx.Client, run_id: str) -> list[str]:
    """Return the kinds of a run's entries in the bundles of the log, up to its newest checkpoint."""
    answer = api.get("/v1/ledger/checkpoint")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return []
    size = public_forms.parse_checkpoint(answer.content).size
    found = [json.loads(entry) for first in range(0, size, 256) for entry in _bundle(api, first, size)]
    return [entry["kind"] for entry in found if entry["run"] == run_id]


def _bundle(api: httpx.Client, first: int, size: int) -> Iterator[bytes]:
    width = min(256, size - first)
    part = "" if width == 256 else f".p/{width}"
    data = api.get(f"/v1/ledger/tile/entries/{first // 256:03}{part}").raise_for_status().content
    while data:
        (length,) = struct.unpack(">H", data[:2])
        yield data[2 : 2 + length]
        data = data[2 + length :]
