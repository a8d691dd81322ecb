"""Values of the upstream that unsigned bodies and its own answers are checked against. Pure."""

from __future__ import annotations

import re

#: An id that can be put into a path.
SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
#: The states of a run that the upstream documents.
STATUSES = frozenset({"queued", "running", "completed", "failed", "cancelled"})
