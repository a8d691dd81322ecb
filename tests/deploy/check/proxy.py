"""Caddy: its file is valid and formatted, and a real Caddy serves two replicas."""

from __future__ import annotations

import json
import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx

from tests import server
from tests.deploy import files
from tests.deploy.check import deployment, tools
from tests.patience import until

TOKEN = "a-token-that-nobody-may-read"
#: Of this check alone: no administration, and no further port for redirects.
ALONE = "skip_install_trust\n\tadmin off\n\tauto_https disable_redirects\n"


def written(_folder: Path) -> str:
    """Check that the Caddyfile is valid and formatted as `caddy fmt` does."""
    path = files.DEPLOY / "Caddyfile"
    tools.run(["caddy", "validate", "--adapter", "caddyfile", "--config", path], SITE_ADDRESS="localhost")
    tools.run(["caddy", "fmt", path])
    return "valid"


def standing(folder: Path) -> str:
    """Check that public paths pass, others from allowed networks alone, a replica may stop, no token is logged."""
    # What is too large is answered before it is read: little is too large here, which Caddy has sent by then.
    given = {"RUNLEDGER_TRUSTED_PROXIES": "127.0.0.0/8", "RUNLEDGER_BODY_LIMIT": "1024"}
    with (
        deployment.running(folder / "one", **given) as one,
        deployment.running(folder / "two", **given) as two,
    ):
        replicas = f"127.0.0.1:{one.port} 127.0.0.1:{two.port}"
        with running(folder, REPLICAS=replicas, ALLOWED_NETWORKS="192.0.2.0/24") as client:
            _unknown_senders(client)
        with running(folder, REPLICAS=replicas) as client:
            _demand(client.get("/v1/runs").status_code == 401, "who is allowed reaches the API")
            _demand(client.get("/metrics").status_code == 404, "nobody reaches /metrics through the proxy")
            one.process.send_signal(signal.SIGTERM)
            # Not /healthz: that says of itself that it stops, for as long as it takes to be set aside.
            answers = {client.get("/v1/runs").status_code for _ in range(50)}
            _demand(answers == {401}, f"a replica that stops costs no request: {answers}")
            one.process.wait(30)
            two.process.terminate()
            two.process.wait(30)
            _demand(client.post(f"/callbacks/{TOKEN}").status_code in (502, 503), "without replicas it is 5xx")
    return _unread(folder / "caddy.log")


def _unknown_senders(client: httpx.Client) -> None:
    """Check that a client outside the allowed networks reaches the public endpoints, within their limits."""
    _demand(client.get("/healthz").status_code == 200, "anybody may ask whether we are there")
    refused = client.post(f"/callbacks/{TOKEN}", content=b"{}")
    _demand("callback address" in refused.text, "anybody reaches the callbacks")
    refused = client.post("/webhooks/case", content=b"{}")
    _demand(refused.status_code == 503, "anybody reaches the events")
    _demand(client.get("/v1/runs").status_code == 403, "an unknown sender does not reach the API")
    _demand(client.get("/readyz").status_code == 403, "an unknown sender does not reach the readiness")
    large = client.post("/webhooks/case", content=b"x" * 1500)
    _demand(large.status_code == 413, "a body that is too large is turned away by Runledger")
    for body in (b"x" * 3_000_000, iter([b"x" * 1_000_000] * 3)):
        # Caddy may close the connection before the text of its answer, while it is still being sent the body.
        with client.stream("POST", "/webhooks/case", content=body) as larger:
            _demand(larger.status_code in (413, 502), "one that is larger still by Caddy: 413, 502 of older ones")
    answers = {client.get("/healthz").status_code for _ in range(20)}
    _demand(answers == {200}, f"such bodies put no replica aside: {answers}")


@contextmanager
def running(folder: Path, **given: str) -> Iterator[httpx.Client]:
    """Run a Caddy with our file; return a client of it."""
    port = server.free_port()
    path = folder / "Caddyfile"
    path.write_text(files.text("Caddyfile").replace("skip_install_trust\n", ALONE))
    own = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "SITE_ADDRESS": f"localhost:{port}"}
    command: list[str | Path] = ["caddy", "run", "--adapter", "caddyfile", "--config", path]
    authority = folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    with tools.started(command, folder / "caddy.log", tools.environment(**own, **given), folder):
        until(authority.exists, why="Caddy made no certificate")
        context = ssl.create_default_context(cafile=str(authority))
        with httpx.Client(base_url=f"https://localhost:{port}", verify=context, timeout=20) as client:
            until(lambda: _answers(client), why="Caddy does not answer")
            yield client


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _unread(log: Path) -> str:
    """Check that the log has the callbacks, and no token."""
    lines = log.read_text().splitlines()
    _demand(not any(TOKEN in line for line in lines), "the token stands in the log")
    logged = [json.loads(line)["logger"] for line in lines if "/callbacks/REDACTED" in line]
    loggers = {logger.rpartition(".")[0] for logger in logged}
    _demand(loggers == {"http.log.access", "http.log.error"}, f"requests and their errors are logged: {loggers}")
    return f"{len(logged)} of {len(lines)} lines tell of a callback, none of its token"


def _demand(holds: bool, sentence: str) -> None:
    if not holds:
        raise tools.Failed(f"does not hold: {sentence}")
