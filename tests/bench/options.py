"""How much is measured, and on which database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The counts of one benchmark; `runs` are those of the smallest document, `samples` those of a latency."""

    database: str = "sqlite"
    events: int = 8000
    rounds: int = 5
    connections: int = 32
    runs: int = 600
    samples: int = 200
