#!/usr/bin/env python3
"""Check a ZIP of evidence that Runledger made: python3 verify_evidence.py EVIDENCE.zip [--policy FILE] [--json].

Python 3.9 or newer, no packages. The modules are in the folder `receiver` beside this file.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from receiver.verifier.evidence import check  # after that line: the folder beside this file is searched first

if __name__ == "__main__":
    sys.exit(check.main())
