"""Two replicas on a real PostgreSQL behind a real Caddy, restarted one after the other under load."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2 as httpx
import psycopg

from receiver.crypto import log_keys, tokens
from storage import ids
from tests import life, postgres, server
from tests.deploy.check import deployment, proxy, tools
from tests.patience import until

KEY = "a-key-of-this-check-alone"
CALLERS = 4
#: So many answers before, between and after the restarts.
ANSWERS = 150


def upgraded(folder: Path) -> str:
    """Restart the replicas; callbacks are accepted all the time, and each acknowledged one is a row."""
    with postgres.running() as cluster:
        url = cluster.fresh("template0")
        signer = log_keys.new("runledger.check/ledger").private_text
        shared = {
            "RUNLEDGER_DATABASE_URL": url,
            "RUNLEDGER_SECRET_KEYS": KEY,
            "RUNLEDGER_LEDGER_KEYS": signer,
        }
        deployment.migrate(folder, **shared)
        answers = _restarted(folder, shared)
        found = _rows(url)
    acknowledged = answers[200]
    if found < acknowledged or set(answers) - {200, 503}:
        raise tools.Failed(f"{acknowledged} acknowledged, {found} found, answers {dict(answers)}")
    others = ", ".join(f"{count} answered {status}" for status, count in sorted(answers.items()) if status != 200)
    return f"{acknowledged} callbacks acknowledged, {found} found; {others or 'nothing else answered'}"


def _restarted(folder: Path, shared: dict[str, str]) -> Counter[int]:
    """Restart every replica while callbacks come; return the answers."""
    ports = [server.free_port(), server.free_port()]
    answers: Counter[int] = Counter()
    with ExitStack() as stack:
        deployments = [
            stack.enter_context(deployment.running(folder / str(number), port, **shared))
            for number, port in enumerate(ports)
        ]
        replicas = " ".join(f"127.0.0.1:{port}" for port in ports)
        client = stack.enter_context(proxy.running(folder, REPLICAS=replicas))
        with _calling(client, answers):
            for number, (each, port) in enumerate(zip(deployments, ports, strict=True)):
                _more(answers)
                each.process.send_signal(signal.SIGTERM)
                if each.process.wait(30) != 0:
                    raise tools.Failed(f"on SIGTERM a replica ended with {each.process.returncode}")
                stack.enter_context(deployment.running(folder / str(number), port, **shared))
            _more(answers)
    return answers


@contextmanager
def _calling(client: httpx.Client, answers: Counter[int]) -> Iterator[None]:
    """Send callbacks of many runs for as long as the block."""
    signer, done = tokens.Signer([KEY]), threading.Event()

    def call() -> None:
        while not done.is_set():
            token = signer.token(ids.new(life.NOW))
            try:
                answer = client.post(f"/callbacks/{token}", content=b'{"status":"completed"}')
            except httpx.TransportError:
                answers[0] += 1
            else:
                answers[answer.status_code] += 1

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for each in callers:
        each.start()
    try:
        yield
    finally:
        done.set()
        for each in callers:
            each.join()


def _more(answers: Counter[int]) -> None:
    """Wait until this many more were acknowledged."""
    wanted = answers[200] + ANSWERS
    until(lambda: answers[200] >= wanted, why=f"callbacks are not acknowledged: {dict(answers)}")


def _rows(url: str) -> int:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute("SELECT count(*) + coalesce(sum(repeats), 0) FROM deliveries").fetchone()
    return int(row[0]) if row else 0
