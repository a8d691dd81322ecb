"""A database of many runs, written in bulk by SQL, and indexed as the product does it."""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import zstandard
from sqlalchemy import Connection, Engine, text

from storage.engine import connections
from storage.migrations import schema_version
from storage.search import index
from storage.stats import rollups
from storage.tables.declare import ROWS_PER_RUN
from storage.tables.runs import RUN_DOCUMENTS, RUN_STEPS, RUN_TAGS, RUN_TOOLS, RUNS
from storage.tables.search import SEARCH_QUEUE
from tests import server

#: Runs of one transaction, and passages of one.
GROUP, PASSAGES = 1000, 8000
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
AGENTS, MODELS, CLIENTS, TOOLS, STEPS = 50, 6, 200, 12, 3
#: Ids from this on are those of runs that others added.
_BEYOND = "00000001"
#: One run in so many says the rare word.
RARE = 10_000


class Texts:
    """Sentences whose words have a natural frequency, the same every time."""

    def __init__(self, seed: int = 6, pool: int = 60_000) -> None:
        self.dice = random.Random(seed)
        syllables = [
            first + last for first in "bcdfgklmnprstv" for last in ("a", "e", "i", "o", "u", "an", "er", "is")
        ]
        words = ["".join(self.dice.choices(syllables, k=self.dice.choice((1, 2, 2, 3)))) for _ in range(30_000)]
        often = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(words))))
        self._pool = [" ".join(self.dice.choices(words, cum_weights=often, k=12)) for _ in range(pool)]
        self.common, self.phrase = words[0], f"{words[1]} {words[3]}"

    def of(self, sentences: int) -> str:
        """Return this many sentences."""
        return ". ".join(self.dice.choices(self._pool, k=sentences))


def build(engine: Engine, count: int) -> Iterator[int]:
    """Write the runs and index their words; report how many are stored and then how many are indexed."""
    texts, document = Texts(), zstandard.ZstdCompressor(level=3).compress(b'{"status":"completed"}')
    for first in range(1, count + 1, GROUP):
        seqs = range(first, min(first + GROUP, count + 1))
        with engine.begin() as connection:
            _write(connection, texts, seqs, count, document)
            while batch := index.queued(connection, PASSAGES):
                index.add(connection, batch)
        yield seqs[-1]


def id_of(seq: int) -> str:
    """Return the id of a run by its key."""
    return f"00000000-0000-7000-8000-{seq:012d}"


def _write(connection: Connection, texts: Texts, seqs: range, count: int, document: bytes) -> None:
    connection.execute(RUNS.insert(), [_run(texts, seq, count) for seq in seqs])
    connection.execute(RUN_STEPS.insert(), [_step(texts, seq, at) for seq in seqs for at in range(STEPS)])
    owned: list[dict[str, Any]] = [{"run_seq": seq, "run_id": id_of(seq)} for seq in seqs]
    connection.execute(RUN_TAGS.insert(), [{**each, "key": "client", "value": _client(each)} for each in owned])
    tools = [{**each, "name": f"tool_{each['run_seq'] % TOOLS}"} for each in owned]
    connection.execute(RUN_TOOLS.insert(), tools)
    shown = {"version": 1, "fetched_at": NOW, "body": document, "body_sha256": "", "size": 22}
    connection.execute(RUN_DOCUMENTS.insert(), [{"run_id": id_of(seq), **shown} for seq in seqs])
    connection.execute(SEARCH_QUEUE.insert(), [{"run_seq": seq, "version": 1, "enqueued_at": NOW} for seq in seqs])


def _client(owned: dict[str, Any]) -> str:
    return f"client_{owned['run_seq'] * 7919 % CLIENTS}"


def _run(texts: Texts, seq: int, count: int) -> dict[str, Any]:
    dice = texts.dice
    at = NOW - timedelta(seconds=(count - seq) * 90)
    is_failed = seq % 9 == 0
    rare = " zyzzyva" if seq % RARE == RARE // 2 or seq == 1 else ""
    return {
        "seq": seq, "id": id_of(seq), "upstream_id": f"run_{seq}", "origin": "submitted",
        "status": "failed" if is_failed else "completed", "agent_id": f"agent_{int(dice.random() ** 2 * AGENTS)}",
        "model": f"vendor/model-{int(dice.random() ** 2 * MODELS)}", "submitted_by": "backend", "watched": True,
        "accepted_at": at, "created_at": at, "started_at": at, "completed_at": at, "settled_at": at,
        "settled_by": "watcher", "duration_ms": int(dice.lognormvariate(11, 1)), "step_count": STEPS,
        "input_tokens": dice.randrange(40_000), "output_tokens": dice.randrange(5000), "tool_calls": STEPS,
        "cost_micros": int(dice.lognormvariate(11, 1.2)), "prompt": texts.of(6), "output": texts.of(18) + rare,
        "summary": texts.of(2), "failure_reason": texts.of(1) if is_failed else None,
    }  # fmt: skip


def _step(texts: Texts, seq: int, at: int) -> dict[str, Any]:
    return {
        "id": seq * ROWS_PER_RUN + at, "run_id": id_of(seq), "position": at, "type": "tool_call",
        "content": texts.of(3), "tool_name": f"tool_{seq % TOOLS}", "tool_input": {"query": texts.of(1)},
        "tool_output": {"results": [texts.of(3), texts.of(2)]}, "duration_ms": 900, "timestamp": NOW,
        "salt": b"s" * 16,
    }  # fmt: skip


def fill(engine: Engine, count: int) -> None:
    """Build the store with a progress bar on a terminal; print the time that it took and its size."""
    begun = time.perf_counter()
    for done in build(engine, count):
        if sys.stderr.isatty() or done % 10_000 == 0:
            bar = "█" * (30 * done // count)
            print(f"\r{bar:30} {done:,} of {count:,}", end="", file=sys.stderr, flush=True)
    with engine.begin() as connection:
        rollups.rebuild(connection)
    seconds = time.perf_counter() - begun
    with engine.begin() as connection:
        whole, words = sizes(connection)
    print(
        f"\n{count:,} runs stored, searchable and summed up in {seconds:,.0f} s: {count / seconds:,.0f} a second"
    )
    print(f"{whole / 1e6:,.0f} MB, {whole / count / 1e3:.1f} kB a run, of it words {words / 1e6:,.0f} MB")


def prepare(place: server.Site, count: int) -> None:
    """Write the runs into the database of a site, unless it has them. Exits where it has another number."""
    engine = connections.engine(place.url, readonly=False, connections=1)
    with engine.begin() as connection:
        schema_version.upgrade(connection)
        held = connection.execute(text(f"SELECT count(*) FROM runs WHERE id < '{_BEYOND}'")).scalar_one()
    if held not in (0, count):
        sys.exit(f"{place.folder} holds {held:,} runs: name another folder, or --rows {held} if it is whole")
    if not held:
        fill(engine, count)
    engine.dispose()


def sizes(connection: Connection) -> tuple[int, int]:
    """Return the bytes of the database, and of its index of words."""
    if connection.dialect.name == "postgresql":
        words = "pg_total_relation_size('passage_words') + pg_total_relation_size('passages')"
        whole, held = connection.execute(text(f"SELECT pg_database_size(current_database()), {words}")).one()
        return whole, held
    pages = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    blocks = "SELECT coalesce(sum(length(block)), 0) FROM passage_words_data"
    whole = connection.execute(text(pages)).scalar_one()
    return whole, connection.execute(text(blocks)).scalar_one()
