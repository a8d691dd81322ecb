"""`make faults KILLS=n`: random SIGKILLs under load, then a verdict. See `session`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from tests.faults import session  # here, since each server's process imports this file as well

    sys.exit(session.main())
