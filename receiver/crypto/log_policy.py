"""Who vouches for a log: its keys, its witnesses, and how many of these must sign (C2SP `tlog-policy`, draft)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from receiver.crypto import log_keys

#: The most witnesses: as many as every reader of a policy has to accept.
MOST = 32
_BETWEEN = re.compile(r"[\s,]+")
#: The name of the group of all witnesses, which the name of none is, since those contain a plus.
_GROUP = "witnesses"


@dataclass(frozen=True)
class Witness:
    """A witness: the prefix of its address, and its key."""

    url: str
    key: log_keys.VerifierKey


@dataclass(frozen=True)
class Policy:
    """The keys of the log, newest first, its witnesses, and how many of them have to sign a checkpoint."""

    keys: Sequence[log_keys.VerifierKey]
    witnesses: Sequence[Witness] = ()
    quorum: int = 0

    @property
    def text(self) -> str:
        """Return the policy as tools read it that check proofs."""
        lines = [f"log {each.text}" for each in self.keys]
        lines += [f"witness {each.key.title} {each.key.text} {each.url}" for each in self.witnesses]
        if self.witnesses:
            titles = " ".join(each.key.title for each in self.witnesses)
            lines += [f"group {_GROUP} {self.quorum} {titles}"]
        return "\n".join([*lines, f"quorum {_GROUP if self.witnesses else 'none'}", ""])


def parse_witnesses(text: str) -> tuple[Witness, ...]:
    """Return the witnesses of a list of addresses, each with the key behind it. Raises BadLogKey."""
    parts = [part for part in _BETWEEN.split(text) if part]
    if len(parts) % 2 or not all(re.match("https?://[^/?#]+[^?#]*$", each) for each in parts[::2]):
        raise log_keys.BadLogKey(
            "each witness is an address and a key: https://witness.example.com witness.example.com+1a2b3c4d+BK…"
        )
    found = [
        Witness(url.rstrip("/"), log_keys.parse_public(key, log_keys.COSIGNATURE))
        for url, key in zip(parts[::2], parts[1::2], strict=True)
    ]
    if len({each.key.public for each in found}) < len(found) or len(found) > MOST:
        raise log_keys.BadLogKey(f"each witness is listed once, and there are at most {MOST}")
    return tuple(found)


def majority(count: int) -> int:
    """Return how many of so many witnesses are more than half."""
    return count // 2 + 1 if count else 0
