"""Check leaves against proofs with PyPI `dnsid`, in its own environment.

It reads a case a line, and prints the verdict of each.
"""

from __future__ import annotations

import base64
import json
import sys

from dnsid.c2sp_tlog import C2spTlogError, parse_c2sp_policy_file, verify_c2sp_tlog_proof

#: Cosignatures of later than now are refused: the second at which the witnesses of the corpus sign.
NOW = 1_795_435_200


def verdict(leaf: bytes, proof: bytes, policy: bytes) -> str:
    try:
        verify_c2sp_tlog_proof(leaf, proof.decode(), parse_c2sp_policy_file(policy.decode()), now_ms=NOW * 1000)
    except (C2spTlogError, ValueError) as error:
        return f"refused {type(error).__name__}: {error}"
    return "accepted"


for line in sys.stdin:
    given = json.loads(line)
    print(json.dumps(verdict(*(base64.b64decode(given[name]) for name in ("leaf", "proof", "policy")))))
