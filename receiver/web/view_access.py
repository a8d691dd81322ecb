"""Who may change a saved view: its owner, and keys of scope `admin`."""

from __future__ import annotations

from receiver import errors
from receiver.web import authentication
from receiver.web.authentication import Scope
from storage.actions import saved_views


def require_own(view: saved_views.View | None, caller: authentication.Caller) -> saved_views.View:
    """Return a view that the caller may change.

    Raises NotFound, also for a view that only others see, and NotPermitted for a shared one of others.
    """
    if view is None or not (view.is_shared or view.owner == caller.name or caller.may(Scope.ADMIN)):
        raise errors.NotFound("there is no saved view with that id")
    if view.owner != caller.name:
        authentication.require_scope(caller, Scope.ADMIN)
    return view
