"""Two replicas on a real PostgreSQL behind a real PgBouncer, which assigns connections per transaction."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from tests import postgres, server
from tests.deploy.check import tools
from tests.journeys import harness, judging
from tests.patience import until

RUNS = 40
#: Fewer than the two replicas hold: they take turns.
CONNECTIONS = 3

CONFIGURATION = """
[databases]
* = host={host} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
pidfile = {folder}/pgbouncer.pid
logfile = {folder}/pgbouncer.log
"""


def settled(folder: Path) -> str:
    """Submit runs to both; each is executed once and settled, and no session state outlives a transaction."""
    with postgres.running() as cluster, _pooling(folder, cluster.fresh()) as url:
        site = server.Site(folder, url, pooler=True)
        with harness.opened(site, timing={"sweep": 0.5}) as deployment:
            other = server.Server(site, deployment.sandbox.url, {"sweep": 0.5}, {})
            other.start()
            try:
                _submit(deployment, other)
            finally:
                other.kill()
            log = deployment.server.log.read_text()
    if "prepared statement" in log or "job_crashed" in log:
        raise tools.Failed(log[-3000:])
    return f"{RUNS} runs settled over {CONNECTIONS} connections"


def _submit(deployment: harness.Deployment, other: server.Server) -> None:
    nonce = f"nonce_{secrets.token_hex(8)}"
    with other.client() as api:
        for number in range(RUNS):
            body = {"agentId": deployment.agent, "prompt": nonce}
            (deployment.api if number % 2 else api).post("/v1/runs", json=body).raise_for_status()
    judging.judge(deployment, nonce, records=RUNS, execs=RUNS)


@contextmanager
def _pooling(folder: Path, url: str) -> Iterator[str]:
    """Run PgBouncer before a database; return its address."""
    direct, port, below = make_url(url), server.free_port(), folder / "pgbouncer"
    below.mkdir()
    for each in (folder, below):
        each.chmod(0o777)
    # As root neither of the two runs: PostgreSQL has got itself a user, whose socket it is.
    user = ["-u", "pgserver"] if os.geteuid() == 0 else []
    file = below / "pgbouncer.ini"
    host = direct.query["host"]
    file.write_text(CONFIGURATION.format(host=host, port=port, folder=below, connections=CONNECTIONS))
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin") or "pgbouncer"
    command: list[str | Path] = [program, *user, file]
    with tools.started(command, below / "said.log", tools.environment(), below):
        until(lambda: server.listens(port), why="PgBouncer does not listen")
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/{direct.database}"
