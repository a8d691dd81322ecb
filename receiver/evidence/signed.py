"""The checkpoint under which evidence is made: it has all entries of the runs and the demanded signatures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from receiver import errors
from receiver.crypto import log_policy
from receiver.verifier import ed25519, public_forms
from storage.engine import database
from storage.ledger import checkpoints, proofs
from storage.query import run_evidence

#: Seconds to wait for a checkpoint that has all entries, and between two looks.
PATIENCE, INTERVAL = 5.0, 0.25
_UNSIGNED = (
    "no checkpoint with these entries has the signatures that the policy demands: witnesses are asked at most "
    "every five minutes, so try again then; `runledger doctor` names one that does not sign"
)


async def checkpoint(
    store: database.Database, run_ids: Sequence[str], policy: log_policy.Policy, patience: float = PATIENCE
) -> checkpoints.Checkpoint:
    """Return a checkpoint that has all entries of the runs and is signed as the policy demands.

    Waits a while for one. Raises EvidenceNotMade.
    """
    if not policy.keys:
        raise errors.EvidenceNotMade(
            "this server does not know the keys of its ledger: `runledger serve` has them, a program that starts "
            "the server may not"
        )
    demanded, waited = public_forms.parse_policy(policy.text.encode()), 0.0
    while True:
        newest = await store.read(proofs.newest_checkpoint)
        pending = await store.read(run_evidence.pending, run_ids, newest)
        if newest is not None and not pending:
            for each in await store.read(run_evidence.checkpoints_of, run_ids):
                if _is_trusted(each, demanded):
                    return each
        if waited >= patience:
            if newest is not None and not pending:
                raise errors.EvidenceNotMade(_UNSIGNED)
            run = pending[0] if pending else run_ids[0]
            raise errors.EvidenceNotMade(
                f"entries of run {run} are under no checkpoint yet: a running server signs one"
            )
        await asyncio.sleep(INTERVAL)
        waited += INTERVAL


def _is_trusted(found: checkpoints.Checkpoint, demanded: public_forms.Policy) -> bool:
    try:
        public_forms.trust(public_forms.parse_checkpoint(found.note.encode()), demanded, ed25519.verify)
    except public_forms.Refused:
        return False
    return True
