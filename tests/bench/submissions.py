"""Submissions per second, each answered 202 after its commit, beside a handler that parses the same body."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench import load, product, rounds
from tests.bench.options import Options
from tests.bench.report import Part, ratio

OURS, BARE = "Runledger", "bare Starlette"
#: One submission is sent for so many events.
SHARE = 10


def run(new_site: product.NewSite, options: Options) -> list[Part]:
    """Measure POST /v1/runs. Nothing answers the worker, as when the upstream is down."""
    site = new_site()
    with product.running(site) as ours, rounds.peer("bare", product.SECRET, site.secret_keys) as bare:

        def requests(count: int, prefix: str) -> Sequence[bytes]:
            return load.submissions(ours.key, count, prefix)

        count = max(1, options.events // SHARE)
        receivers = [
            rounds.Receiver(OURS, ours.port, ours.pid, count, requests),
            rounds.Receiver(BARE, *bare, count, requests),
        ]
        rows = rounds.compare(receivers, options.rounds, options.connections, "submissions")
        stored = int(ours.rows("SELECT count(*) AS n FROM runs")[0]["n"])
    notes = [ratio(rows, OURS, BARE, "submissions/s")]
    return [Part("Submissions", rows, notes, receivers[0].accepted, stored, receivers[0].others)]
