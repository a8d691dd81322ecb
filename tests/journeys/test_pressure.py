"""The deployment under pressure: a full queue, bodies that do not fit, a flood, a stop under load."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx

from receiver import settings, signing_keys
from receiver.crypto import signatures, tokens
from tests import other_client, server
from tests.bench import storm
from tests.journeys import harness, posting
from tests.patience import until

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#: Nothing listens there: what comes in is kept all the same.
NOBODY = "http://127.0.0.1:9"
SUBMISSION = {"agentId": "agent_1", "prompt": "Review the lease."}


@contextmanager
def running(site: server.Site, **given: Any) -> Iterator[tuple[server.Server, storm.Flood]]:
    """A server without an upstream, and what to flood it with."""
    with server.running(site, NOBODY, webhook_secrets=SECRET, public_url="", **given) as ours:
        signer = tokens.Signer(signing_keys.of_addresses(settings.load(env_file=None, **site.settings)))
        yield ours, storm.Flood(ours.port, signatures.decode(SECRET), signer)


def kept(ours: server.Server) -> int:
    """Requests that the database has: rows and repeats."""
    counted = "SELECT count(*) + sum(repeats) AS n FROM deliveries WHERE verdict <> 'rejected'"
    return int(ours.rows(counted)[0]["n"] or 0)


def event(client: httpx.Client, number: int) -> httpx.Response:
    body, at = posting.event(f"run_{number}", f"evt_{number}"), str(int(time.time()))
    signature = signatures.sign(signatures.decode(SECRET).key, f"dlv_{number}", at, body)
    named = {signatures.ID_HEADER: f"dlv_{number}", signatures.TIMESTAMP_HEADER: at}
    return client.post("/webhooks/case", content=body, headers={**named, signatures.SIGNATURE_HEADER: signature})


def test_a_full_queue_is_answered_at_once_and_what_was_acknowledged_is_stored(site: server.Site) -> None:
    queue = {"queue": {"waiting": 4, "busy_seconds": 60.0}}
    with running(site, bounds=queue) as (ours, _), ours.client() as client, ThreadPoolExecutor(24) as pool:
        run = client.post("/v1/runs", json=SUBMISSION).raise_for_status().json()["id"]
        with other_client.locking(site.url, "deliveries"):
            asked: list[Future[httpx.Response]] = []
            while not any(each.done() for each in asked):  # one by one: then it is the lock that all wait for
                asked.append(pool.submit(event, client, len(asked)))
                time.sleep(0.05)
            others = [
                client.post("/v1/runs", json=SUBMISSION),
                client.post(f"/v1/runs/{run}/cancel"),
                client.post("/v1/watch", json={"runId": "run_1"}),
            ]
        answers = [each.result() for each in asked]
    turned_away = [answer for answer in (*answers, *others) if answer.status_code == 503]
    assert {answer.status_code for answer in others} == {503}
    assert {answer.status_code for answer in answers} == {200, 503}
    assert all(int(answer.headers["retry-after"]) <= 2 for answer in turned_away)
    promised = {answer.json()["receipt"] for answer in answers if answer.status_code == 200}
    assert promised == {row["id"] for row in ours.rows("SELECT id FROM deliveries")}


def test_a_slow_body_is_evicted_for_faster_ones(site: server.Site) -> None:
    with running(site, bounds={"bounds": {"body_bytes": 4096}}, body_limit=1024) as (ours, _):
        head = f"POST /webhooks/case HTTP/1.1\r\nhost: h\r\n{signatures.SIGNATURE_HEADER}: v1,A\r\n"
        dwelling = [socket.create_connection(("127.0.0.1", ours.port), timeout=60) for _ in range(4)]
        for each in dwelling:
            each.sendall(f"{head}content-length: 1001\r\n\r\n".encode() + bytes(1000))
        with ours.client() as client:
            until(lambda: event(client, 1).status_code == 200 and _is_answered(dwelling[0]))
            assert dwelling[0].recv(4096).startswith(b"HTTP/1.1 503 ")
            assert event(client, 2).status_code == 200
        for each in dwelling:
            each.close()


def _is_answered(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        connection.setblocking(True)


def test_in_a_flood_valid_callbacks_are_stored_and_nothing_else_is(site: server.Site) -> None:
    """Bounds that are reached within moments stand for those of production."""
    bounds = {
        "queue": {"waiting": 8},
        "bounds": {"body_bytes": 4 << 20, "failures": 5},
        "connections": {"open": 60, "spare": 4, "unread": 1.0, "look": 0.1},
    }
    sorts = {"idle": 40, "heavy": 8, "slow": 4, "unread": 2, **dict.fromkeys(GENTLE, 2)}
    with running(site, bounds=bounds) as (ours, flood):
        asyncio.run(flood.run(4, sorts))
        with ours.client() as client:
            assert event(client, 1).status_code == 200
        answers = flood.answers
        good = {status: sum(answers[sort, status] for sort in storm.VALID) for status in ("200", "503", "cut")}
        assert sum(count for (sort, _), count in answers.items() if sort in storm.VALID) == sum(good.values())
        under_way = 2 * len(storm.VALID)
        assert 0 < good["200"] <= kept(ours) - 1 <= good["200"] + good["cut"] + under_way
        assert {status for sort, status in answers if sort == "forged"} <= {"401", "503", "cut"}
        assert {status for sort, status in answers if sort == "bad key"} <= {"401", "429", "cut"}
        assert {status for sort, status in answers if sort == "unknown"} <= {"404", "429", "cut"}
        assert answers["health", "200"]


GENTLE = ("event", "callback", "health", "forged", "unknown", "bad key", "oversize")


def test_a_stop_with_clients_of_every_sort_loses_nothing_that_was_acknowledged(
    site: server.Site, nonce: str
) -> None:
    with harness.opened(site, run_seconds=harness.NEVER) as deployment, contextlib.ExitStack() as stack:
        run = deployment.submit(nonce)
        deployment.until_named(nonce, "running")
        pool = stack.enter_context(ThreadPoolExecutor(8))
        for said in (b"", b"GET /x HT", posting.head("/webhooks/case", "Content-Length: 9") + b"half", _much()):
            stack.enter_context(posting.connected(deployment)).sendall(said)
        listening = stack.enter_context(deployment.api.stream("GET", f"/v1/runs/{run['id']}/events"))
        assert next(listening.iter_lines()).startswith("id: ")
        waiting = pool.submit(_submit_and_wait, deployment)
        sending = [pool.submit(_send_on, deployment, number) for number in range(4)]
        until(lambda: len(deployment.server.rows("SELECT 1 FROM deliveries")) > 20)
        until(lambda: len(deployment.server.rows("SELECT 1 FROM runs")) == 2)
        began = time.monotonic()
        assert deployment.server.stop() == 0
        assert time.monotonic() - began < 30, "it takes ten seconds at most, and here many other things go on"
        promised = {receipt for each in sending for receipt in each.result()}
        assert waiting.result().status_code == 202
        assert promised <= {row["id"] for row in deployment.server.rows("SELECT id FROM deliveries")}


def test_a_stop_while_the_database_takes_no_writes_promises_nothing_and_waits_once(site: server.Site) -> None:
    with running(site, bounds={"queue": {"busy_seconds": 1.0, "batch": 1}}) as (ours, _):
        with (
            other_client.locking(site.url, "deliveries"),
            ours.client() as client,
            ThreadPoolExecutor(60) as pool,
        ):
            asked = [pool.submit(event, client, number) for number in range(60)]
            wait(asked, return_when=FIRST_COMPLETED)
            assert ours.stop() == 0
            # A delivery that came after the server had stopped got no answer, and comes again as well.
            answers = [each.result() for each in asked if not isinstance(each.exception(), httpx.TransportError)]
        assert {(answer.status_code, "retry-after" in answer.headers) for answer in answers} == {(503, True)}
        assert kept(ours) == 0


def _much() -> bytes:
    """Requests for a megabyte, whose answers are never read."""
    return b"GET /openapi.json HTTP/1.1\r\nhost: h\r\n\r\n" * 16


def _submit_and_wait(deployment: harness.Deployment) -> httpx.Response:
    wanted = {"agentId": deployment.agent, "prompt": "Review the lease."}
    return deployment.api.post("/v1/runs", json=wanted, headers={"Prefer": "wait=60"})


def _send_on(deployment: harness.Deployment, sender: int) -> list[str]:
    """Sends events until the server is gone; the receipts of those that it took."""
    receipts: list[str] = []
    with httpx.Client(timeout=60) as client, contextlib.suppress(httpx.TransportError):
        for number in range(1_000_000):
            body = posting.event(f"run_{sender}", f"evt_{sender}_{number}")
            answer = client.post(
                f"{deployment.server.url}/webhooks/case", content=body, headers=posting.signed(deployment, body)
            )
            if answer.status_code == 200:
                receipts.append(answer.json()["receipt"])
    return receipts
