"""The checkpointer: signs the tree of the ledger a second after an entry was added.

Every server has one. Of those that share a database one at a time signs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from receiver import poll_loop, telemetry
from receiver.crypto import log_keys
from storage import errors
from storage.engine import database
from storage.ledger import checkpoints

#: Seconds between two checkpoints, so that one is for the entries of many commits.
PAUSE = 1.0


async def run(
    store: database.Database,
    telemetry: telemetry.Telemetry,
    clock: Callable[[], datetime],
    signers: Sequence[log_keys.Signer],
    poll: float,
) -> None:
    """Sign what was added until cancelled; look for new entries every `poll` seconds."""
    paused = partial(telemetry.log.warning, "checkpointer_paused")
    sign = partial(_sign_all, store, telemetry, clock, signers)
    await poll_loop.run(store, sign, paused, pace=PAUSE, poll=poll)


async def _sign_all(
    store: database.Database,
    telemetry: telemetry.Telemetry,
    clock: Callable[[], datetime],
    signers: Sequence[log_keys.Signer],
) -> None:
    """Sign checkpoints until all numbered entries are under one."""

    def lines(text: str) -> list[str]:
        return [signer.line(text) for signer in signers]

    while await store.read(checkpoints.has_unsigned):
        try:
            made = await store.write(checkpoints.sign_next, signers[0].name, lines, clock())
        except errors.HistoryChanged as changed:
            telemetry.log.error("ledger_history_changed", reason=str(changed))
            return
        if made is None:
            return
