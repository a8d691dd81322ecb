"""Which run an id in a path names, where that of an orphan may stand there."""

from __future__ import annotations

from receiver import errors
from storage import runs


def known(run: runs.Run | None) -> runs.Run:
    """The run, or that which an orphan belongs to: for who looks something up. Raises NotFound."""
    if run is None:
        raise errors.NotFound("there is no run of that id")
    return run


def itself(run: runs.Run | None, named: str) -> runs.Run:
    """The run that is named, for who asks something of it, or for its content.

    Raises NotFound, and IsOrphan for the upstream id of an orphan: that was never executed for the submission.
    """
    found = known(run)
    if not found.is_named(named):
        raise errors.IsOrphan(named, found.id)
    return found
