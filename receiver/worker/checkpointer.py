"""The checkpointer: signs the tree of the ledger a second after an entry was added.

Every server has one. Of those that share a database one at a time signs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from functools import partial

from receiver import poll_loop, telemetry
from receiver.crypto import log_keys, log_policy
from receiver.worker import publishing
from storage import errors
from storage.ledger import checkpoints, publication, witnessing

#: Seconds between two checkpoints, so that one is for the entries of many commits.
PAUSE = 1.0


async def run(
    reporter: publishing.Reporter,
    telemetry: telemetry.Telemetry,
    signers: Sequence[log_keys.Signer],
    poll: float,
    looked: Mapping[str, asyncio.Event],
    patience: float,
    policy: log_policy.Policy,
) -> None:
    """Sign what was added until cancelled; look for new entries every `poll` seconds.

    Before the first one it waits up to `patience` seconds until each place of `looked` was looked at: it may have
    a checkpoint that this store lacks. After a restore enough witnesses must have answered.
    """
    titles = [each.key.title for each in policy.witnesses]
    of_witnesses = (publication.QUORUM, publication.CHOSEN) if titles else ()
    await reporter.store.write(publication.keep, [*looked, publication.SIGNING, *of_witnesses])
    if titles:
        now, origin = reporter.clock(), reporter.origin
        await reporter.store.write(witnessing.update_quorum, origin, titles, policy.quorum, now)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            for each in looked.values():
                await each.wait()
    paused = partial(telemetry.log.warning, "checkpointer_paused")
    sign = partial(_sign_all, reporter, signers, policy.quorum)
    await poll_loop.run(reporter.store, sign, paused, pace=PAUSE, poll=poll)


async def _sign_all(reporter: publishing.Reporter, signers: Sequence[log_keys.Signer], needed: int) -> None:
    """Sign checkpoints until all numbered entries are under one."""
    store, origin = reporter.store, signers[0].name
    require = partial(publication.require_newest, origin=origin, needed=needed)

    def lines(text: str) -> list[str]:
        return [signer.line(text) for signer in signers]

    while await store.read(checkpoints.has_unsigned):
        try:
            made = await store.write(checkpoints.sign_next, origin, lines, reporter.clock(), require=require)
        except errors.HistoryChanged as changed:
            await reporter.failed(publication.SIGNING, str(changed))
            return
        if made is None:
            return
        await reporter.reached(publication.SIGNING)
