"""Find the run that the id in a path names, which may be the upstream id of an orphan."""

from __future__ import annotations

from receiver import errors
from storage.repositories import runs


def require_run(run: runs.Run | None) -> runs.Run:
    """Return the run, or the run that an orphan belongs to: for look-ups. Raises NotFound."""
    if run is None:
        raise errors.NotFound("there is no run of that id")
    return run


def require_exact_run(run: runs.Run | None, named: str) -> runs.Run:
    """Return the run that the id names exactly: for requests that change a run, or that read its content.

    Raises NotFound, and RunIsOrphan for the upstream id of an orphan, which was never executed for the submission.
    """
    exact = require_run(run)
    if not exact.is_named(named):
        raise errors.RunIsOrphan(named, exact.id)
    return exact
