"""Every store that a test leaves behind verifies."""

from tests.storage.transitions.conftest import verified

__all__ = ["verified"]
