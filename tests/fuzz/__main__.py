"""`make fuzz MINUTES=n`: hostile values on every surface. See `session`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from tests.fuzz import session  # here, since each server's process imports this file as well

    sys.exit(session.main())
