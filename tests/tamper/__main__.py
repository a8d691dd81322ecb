"""`make tamper N=n`: random changes of a store, each of which must be found and named."""

from __future__ import annotations

import sys

from tests.tamper import session

if __name__ == "__main__":
    sys.exit(session.main())
