"""Find the run that the id in a path names, which may be the upstream id of an orphan."""

from __future__ import annotations

from typing import Protocol, TypeVar

from receiver import errors


class Named(Protocol):
    """A run, or some columns of one, with its ids."""

    @property
    def id(self) -> str: ...
    @property
    def upstream_id(self) -> str | None: ...


N = TypeVar("N", bound=Named)


def require_run(run: N | None) -> N:
    """Return the run, or the run that an orphan belongs to: for look-ups. Raises NotFound."""
    if run is None:
        raise errors.NotFound("there is no run with that id")
    return run


def require_exact_run(run: N | None, named: str) -> N:
    """Return the run that the id names exactly: for requests that change a run, or that read its content.

    Raises NotFound, and RunIsOrphan for the upstream id of an orphan, which was never executed for the submission.
    """
    exact = require_run(run)
    if named not in (exact.id, exact.upstream_id):
        raise errors.RunIsOrphan(named, exact.id)
    return exact
