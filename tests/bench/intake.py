"""Events and callbacks per second, beside a handler that stores nothing and one as people write it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import create_engine, text

from receiver.crypto import signatures, tokens
from tests.bench import load, product, rounds
from tests.bench.options import Options
from tests.bench.report import Part, ratio

OURS, BARE, NAIVE = "Runledger", "bare Starlette", "FastAPI + SQLModel"
#: The naive receiver is sent one event in so many, since it takes that much longer.
NAIVE_SHARE = 10


def run(new_site: product.NewSite, options: Options) -> list[Part]:
    """Measure both sorts of load."""
    return [events(new_site, options), callbacks(new_site, options)]


def events(new_site: product.NewSite, options: Options) -> Part:
    """Measure signed events about runs that are not known."""
    site, secret, naive_url = new_site(), signatures.decode(product.SECRET), new_site().url

    def requests(count: int, prefix: str) -> Sequence[bytes]:
        return load.events(secret, count, prefix, "127.0.0.1")

    with (
        product.running(site, webhook_secrets=product.SECRET) as ours,
        rounds.peer("bare", product.SECRET, site.secret_keys) as bare,
        rounds.peer("naive", product.SECRET, naive_url) as naive,
    ):
        count = options.events
        receivers = [
            rounds.Receiver(OURS, ours.port, ours.pid, count, requests),
            rounds.Receiver(BARE, *bare, count, requests),
            rounds.Receiver(NAIVE, *naive, max(1, count // NAIVE_SHARE), requests),
        ]
        rows = rounds.compare(receivers, options.rounds, options.connections, "events")
        notes = [ratio(rows, OURS, other, "events/s") for other in (BARE, NAIVE)]
        kept = receivers[2].accepted, _naive_rows(naive_url)
        notes.append(f"{NAIVE}: {kept[0]:,} answered 2xx, {kept[1]:,} rows")
        stored = product.stored_deliveries(ours)
    return Part("Signed events", rows, notes, receivers[0].accepted, stored, receivers[0].others)


def callbacks(new_site: product.NewSite, options: Options) -> Part:
    """Measure callbacks that are each about another run of ours; nothing answers the worker that fetches them."""
    site = new_site()
    signer = tokens.Signer([site.secret_keys])

    def requests(count: int, _prefix: str) -> Sequence[bytes]:
        return load.callbacks(signer, product.add_running(site, count))

    with product.running(site) as ours, rounds.peer("bare", product.SECRET, site.secret_keys) as bare:
        receivers = [
            rounds.Receiver(OURS, ours.port, ours.pid, options.events, requests),
            rounds.Receiver(BARE, *bare, options.events, _unknown(signer)),
        ]
        rows = rounds.compare(receivers, options.rounds, options.connections, "callbacks")
        stored = product.stored_deliveries(ours)
    notes = [ratio(rows, OURS, BARE, "callbacks/s")]
    return Part("Callbacks about known runs", rows, notes, receivers[0].accepted, stored, receivers[0].others)


def _unknown(signer: tokens.Signer) -> rounds.MakeRequests:
    """Return a load of the same form for a peer that knows no runs."""

    def requests(count: int, prefix: str) -> Sequence[bytes]:
        names = [f"{prefix}_{number}" for number in range(count)]
        return load.callbacks(signer, [product.KnownRun(name, f"run_{name}") for name in names])

    return requests


def _naive_rows(url: str) -> int:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT count(*) FROM receivedevent")).scalar_one()
    engine.dispose()
    return int(found)
