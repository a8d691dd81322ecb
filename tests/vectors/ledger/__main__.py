"""Write cases.json: `python -m tests.vectors.ledger`."""

from __future__ import annotations

from tests.vectors.ledger import corpus

if __name__ == "__main__":
    corpus.FILE.write_bytes(corpus.made())
