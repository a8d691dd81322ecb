"""What comes to the public endpoints: kept, deduplicated, believed only as a hint."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest

from tests.journeys import harness, posting
from tests.journeys.judging import judge
from tests.patience import until


def started(deployment: harness.Deployment, nonce: str) -> harness.Row:
    """A run that goes on until it is ended by hand."""
    run = deployment.submit(nonce)
    return deployment.until_run(run, "running")


def verdicts(deployment: harness.Deployment, run: harness.Row) -> dict[str, int]:
    rows = deployment.deliveries(run)
    counts = {verdict: [row["verdict"] for row in rows].count(verdict) for verdict in ("accepted", "duplicate")}
    return {**counts, "repeats": sum(row["repeats"] for row in rows)}


def test_of_fifty_identical_callbacks_one_is_accepted(slow_deployment: harness.Deployment, nonce: str) -> None:
    run = started(slow_deployment, nonce)
    slow_deployment.sandbox.faults(callback_states=[])
    slow_deployment.sandbox.finish(run["upstreamId"])
    url, body = slow_deployment.callback(nonce), {"runId": run["upstreamId"]}
    with ThreadPoolExecutor(10) as pool, httpx.Client(timeout=60) as client:
        answers = list(pool.map(lambda _: client.post(url, json=body), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["verdict"] for answer in answers) == ["accepted", *["duplicate"] * 49]
    assert verdicts(slow_deployment, run) == {"accepted": 1, "duplicate": 20, "repeats": 29}
    stored = {row["id"] for row in slow_deployment.deliveries(run)}
    assert {answer.json()["receipt"] for answer in answers} == stored
    judge(slow_deployment, nonce, settled_by="watcher")


def test_a_callback_that_names_another_run_settles_the_one_of_its_address(
    slow_deployment: harness.Deployment, nonce: str
) -> None:
    ours, other = started(slow_deployment, f"ours_{nonce}"), started(slow_deployment, f"other_{nonce}")
    slow_deployment.sandbox.faults(callback_states=[])
    slow_deployment.sandbox.finish(ours["upstreamId"])
    slow_deployment.sandbox.finish(other["upstreamId"])
    body = {"runId": other["upstreamId"], "status": "failed"}
    assert httpx.post(slow_deployment.callback(f"ours_{nonce}"), json=body, timeout=60).status_code == 200
    judge(slow_deployment, f"ours_{nonce}", settled_by="watcher")
    judge(slow_deployment, f"other_{nonce}", settled_by="watcher")
    kept = slow_deployment.deliveries(ours)[0]
    assert (kept["verdict"], kept["reason"]) == ("accepted", f"the body names another run: {other['upstreamId']}")
    assert slow_deployment.deliveries(other) == []


def test_callbacks_that_all_name_wrong_runs_settle_everything(deployment: harness.Deployment, nonce: str) -> None:
    deployment.sandbox.faults(callback_wrong_run_id=True)
    deployment.submit(nonce)
    deployment.submit(nonce)
    judge(deployment, nonce, settled_by="watcher", records=2, execs=2)


@pytest.mark.parametrize("form", ["minimal", "rich", "id", "run.id", "data.runId", "run_id"])
def test_a_callback_may_name_its_run_in_any_form(deployment: harness.Deployment, nonce: str, form: str) -> None:
    deployment.sandbox.faults(callback_body=form)
    run = deployment.submit(nonce)
    judge(deployment, nonce, settled_by="watcher")
    assert [each["reason"] for each in deployment.deliveries(run)] == [None]


BODIES = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"runId": "\xff\xfe"}',
    "NaN": b'{"runId": NaN, "id": Infinity, "status": -Infinity}',
    "huge number": b'{"runId": ' + b"9" * 50_000 + b"}",
    "nested deeply": b"[" * 200_000 + b"]" * 200_000,
    "nested objects": b'{"run":' * 100_000,
    "a list": b'["run_1"]',
    "a surrogate": b'{"runId": "\\ud800", "status": "\\u0000"}',
    "a path": b'{"runId": "../../agent/v1/agents", "id": "a/b"}',
}


@pytest.mark.parametrize("name", BODIES)
def test_a_callback_with_an_odd_body_is_kept_as_it_came(
    slow_deployment: harness.Deployment, nonce: str, name: str
) -> None:
    run = started(slow_deployment, nonce)
    answer = httpx.post(slow_deployment.callback(nonce), content=BODIES[name], timeout=60)
    assert answer.status_code == 200
    shown = slow_deployment.api.get(f"/v1/deliveries/{answer.json()['receipt']}")
    assert shown.status_code == 200
    assert slow_deployment.deliveries(run)[0]["body"] == BODIES[name]
    assert slow_deployment.run(run)["status"] == "running"
    slow_deployment.sandbox.finish(run["upstreamId"])
    judge(slow_deployment, nonce, settled_by="watcher")


def test_an_event_that_is_delivered_again_is_one_delivery(slow_deployment: harness.Deployment, nonce: str) -> None:
    run = started(slow_deployment, nonce)
    body = posting.event(run["upstreamId"], f"evt_{nonce}")
    answers = [posting.post_event(slow_deployment, body, posting.signed(slow_deployment, body)) for _ in range(3)]
    assert [answer.json()["verdict"] for answer in answers] == ["accepted", "duplicate", "duplicate"]
    late = posting.post_event(slow_deployment, body, posting.signed(slow_deployment, body, at=time.time() - 3600))
    assert (late.status_code, late.json()["verdict"]) == (200, "duplicate")
    assert verdicts(slow_deployment, run) == {"accepted": 1, "duplicate": 3, "repeats": 0}
    slow_deployment.sandbox.finish(run["upstreamId"])
    judge(slow_deployment, nonce)


def test_an_event_from_another_time_is_left_to_be_sent_again(deployment: harness.Deployment, nonce: str) -> None:
    body = posting.event("run_1", f"evt_{nonce}")
    for at in (time.time() - 400, time.time() + 400):
        answer = posting.post_event(deployment, body, posting.signed(deployment, body, at=at))
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    until(lambda: rejected(deployment, nonce) == ["outside tolerance"] * 2)


def rejected(deployment: harness.Deployment, nonce: str) -> list[str]:
    """The causes for which bodies with the nonce were rejected."""
    found = deployment.server.rows("SELECT reason, body FROM deliveries WHERE verdict = 'rejected' ORDER BY seq")
    return [row["reason"] for row in found if nonce.encode() in row["body"]]


def test_either_secret_of_a_rotation_verifies_and_is_recorded(deployment: harness.Deployment, nonce: str) -> None:
    used: set[str] = set()
    for secret in (deployment.secret, harness.FORMER_SECRET):
        body = posting.event("run_nobody_knows", f"evt_{nonce}_{len(used)}")
        answer = posting.post_event(deployment, body, posting.signed(deployment, body, secret=secret))
        assert answer.status_code == 200
        kept = deployment.server.rows("SELECT secret_used FROM deliveries WHERE id = ?", answer.json()["receipt"])
        used.add(kept[0]["secret_used"])
    assert len(used) == 2


def test_both_signatures_of_a_rotation_at_once_are_taken(deployment: harness.Deployment, nonce: str) -> None:
    body = posting.event("run_nobody_knows", f"evt_{nonce}")
    headers = posting.signed(deployment, body)
    headers["case-webhook-signature"] = f"v1,{'A' * 44} v2,x {headers['case-webhook-signature']}"
    assert posting.post_event(deployment, body, headers).status_code == 200


def test_a_forged_event_changes_nothing(slow_deployment: harness.Deployment, nonce: str) -> None:
    run = started(slow_deployment, nonce)
    body = posting.event(run["upstreamId"], f"evt_{nonce}")
    answer = posting.post_event(slow_deployment, body, posting.signed(slow_deployment, body, key=posting.ANY_KEY))
    assert answer.status_code == 401
    assert until(lambda: rejected(slow_deployment, nonce)) == ["bad signature"]
    assert slow_deployment.deliveries(run) == []
    slow_deployment.sandbox.finish(run["upstreamId"])
    judge(slow_deployment, nonce, settled_by="watcher")


SIGNATURES: dict[str, bytes] = {
    "empty": b"",
    "no comma": b"v1",
    "bad base64": b"v1,!!!",
    "not ASCII": b"v1,\xc3\xa9\xff",
    "many values": b" ".join([b"v1,AAAA"] * 500),
    "another scheme": b"v2,AAAA",
    "very long": b"v1," + b"A" * 20_000,
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_an_odd_signature_is_turned_away(deployment: harness.Deployment, nonce: str, name: str) -> None:
    body = posting.event("run_1", f"evt_{nonce}")
    answer = posting.post_event(
        deployment, body, {**posting.signed(deployment, body), "case-webhook-signature": SIGNATURES[name]}
    )
    assert answer.status_code == 401
    assert until(lambda: rejected(deployment, nonce)) == ["bad signature"]


@pytest.mark.parametrize("moment", ["", "soon", "1.5", "-1", "9" * 30, "1e9", "٣"])
def test_an_odd_timestamp_is_turned_away(deployment: harness.Deployment, nonce: str, moment: str) -> None:
    body = posting.event("run_1", f"evt_{nonce}")
    answer = posting.post_event(
        deployment, body, {**posting.signed(deployment, body), "case-webhook-timestamp": moment.encode()}
    )
    assert answer.status_code == 401
    assert until(lambda: rejected(deployment, nonce)) == ["bad signature"]


def test_an_unsigned_event_is_turned_away(deployment: harness.Deployment, nonce: str) -> None:
    assert posting.post_event(deployment, posting.event("run_1", f"evt_{nonce}"), {}).status_code == 401


@pytest.mark.parametrize("name", BODIES)
def test_a_signed_event_with_an_odd_body_is_kept(deployment: harness.Deployment, name: str) -> None:
    body = BODIES[name]
    answer = posting.post_event(deployment, body, posting.signed(deployment, body))
    assert answer.status_code == 200
    kept = deployment.server.rows("SELECT * FROM deliveries WHERE id = ?", answer.json()["receipt"])[0]
    assert (kept["body"], kept["run_id"]) == (body, None)


@pytest.mark.parametrize("tail", ["", "x", "%00", "a.b", "../v1/runs", "a" * 5000, "%F0%9F%92%A9", "a/b"])
def test_a_forged_callback_address_is_not_known(deployment: harness.Deployment, nonce: str, tail: str) -> None:
    answer = httpx.post(f"{deployment.server.url}/callbacks/{tail}", json={"runId": nonce}, timeout=60)
    assert answer.status_code in (404, 401)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_token_that_was_changed_is_not_known(slow_deployment: harness.Deployment, nonce: str) -> None:
    run = started(slow_deployment, nonce)
    path = urlsplit(slow_deployment.callback(nonce)).path
    for changed in (
        path[:-1],
        path + "A",
        path[:-1] + ("A" if path[-1] != "A" else "B"),
        path.replace(".", "", 1),
    ):
        assert httpx.post(slow_deployment.server.url + changed, json={}, timeout=60).status_code == 404
    until(lambda: slow_deployment.server.rows("SELECT 1 FROM deliveries WHERE reason = 'unknown token'"))
    assert slow_deployment.deliveries(run) == []
    slow_deployment.sandbox.finish(run["upstreamId"])
    judge(slow_deployment, nonce)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_only_post_is_accepted(deployment: harness.Deployment, method: str) -> None:
    answer = httpx.request(method, f"{deployment.server.url}/webhooks/case", timeout=60)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_the_beginning_of_a_callback_over_the_cap_is_stored(
    slow_deployment: harness.Deployment, nonce: str
) -> None:
    run = started(slow_deployment, nonce)
    slow_deployment.sandbox.finish(run["upstreamId"])
    path = urlsplit(slow_deployment.callback(nonce)).path
    head = posting.head(path, "Content-Length: 2000000")
    assert posting.speak(slow_deployment, head, b"x" * 2_000_000).startswith(b"HTTP/1.1 200")
    chunks = posting.chunked([b"x" * 100_000] * 11)
    head = posting.head(path, "Transfer-Encoding: chunked")
    assert posting.speak(slow_deployment, head, *chunks, b"0\r\n\r\n").startswith(b"HTTP/1.1 200")
    chosen = f"SELECT size, body FROM deliveries WHERE run_id = '{run['id']}' AND size > 1000000 ORDER BY size"
    kept = slow_deployment.server.rows(chosen)
    assert [(each["size"], len(each["body"])) for each in kept] == [(1_100_000, 65536), (2_000_000, 65536)]
    judge(slow_deployment, nonce)


def test_a_forged_event_over_the_cap_is_turned_away(slow_deployment: harness.Deployment) -> None:
    head = posting.head("/webhooks/case", "Content-Length: 5000000")
    assert posting.speak(slow_deployment, head, b"x" * 100).startswith(b"HTTP/1.1 413")
    head = posting.head("/webhooks/case", "Transfer-Encoding: chunked")
    chunks = posting.chunked([b"x" * 100_000] * 11)
    assert posting.speak(slow_deployment, head, *chunks).startswith(b"HTTP/1.1 413")
    until(lambda: len(slow_deployment.server.rows("SELECT 1 FROM deliveries WHERE reason = 'too large'")) == 2)


@pytest.mark.parametrize(
    "lines", [["Content-Length: 2", "Transfer-Encoding: chunked"], ["case-webhook-id: a\x01b"], [" folded: x"]]
)
def test_what_no_parser_takes_is_to_come_again_where_it_may_be_genuine(
    slow_deployment: harness.Deployment, lines: list[str]
) -> None:
    for path, status in (("/webhooks/case", b"503"), ("/callbacks/x", b"503"), ("/v1/runs", b"400")):
        heard = posting.speak(slow_deployment, posting.head(path, *lines), b"{}")
        assert heard.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    "lines",
    [["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings, close"], ["Expect: 100-continue"], ["X: \x80\xff"]],
)
def test_odd_heads_keep_no_event_out(slow_deployment: harness.Deployment, nonce: str, lines: list[str]) -> None:
    body = posting.event(f"run_{nonce}", f"evt_{nonce}_{len(lines[0])}")
    headers = [f"{name}: {value}" for name, value in posting.signed(slow_deployment, body).items()]
    head = posting.head("//webhooks//case/", *headers, f"Content-Length: {len(body)}", *lines)
    head = head.replace(b"Connection: close\r\n", b"") if len(lines) == 2 else head
    heard = posting.speak(slow_deployment, head + body)
    assert b"HTTP/1.1 200" in heard


def test_an_event_of_http_1_0_is_accepted(slow_deployment: harness.Deployment, nonce: str) -> None:
    body = posting.event(f"run_{nonce}", f"evt_{nonce}_old")
    headers = [f"{name}: {value}" for name, value in posting.signed(slow_deployment, body).items()]
    head = posting.head("/webhooks/case", *headers, f"Content-Length: {len(body)}").replace(
        b"HTTP/1.1", b"HTTP/1.0", 1
    )
    assert b" 200 " in posting.speak(slow_deployment, head + body).splitlines()[0]


def test_a_body_that_drips_is_to_come_again(slow_deployment: harness.Deployment, nonce: str) -> None:
    run = started(slow_deployment, nonce)
    path = urlsplit(slow_deployment.callback(nonce)).path
    drips = [posting.head(path, "Content-Length: 1000"), *[b"x"] * 30]
    assert posting.speak(slow_deployment, *drips, pause=0.05).startswith(b"HTTP/1.1 503")
    until(lambda: slow_deployment.server.rows("SELECT 1 FROM deliveries WHERE reason = 'slow body'"))
    slow_deployment.sandbox.finish(run["upstreamId"])
    judge(slow_deployment, nonce)


def test_a_sender_that_leaves_midway_changes_nothing(slow_deployment: harness.Deployment, nonce: str) -> None:
    run = started(slow_deployment, nonce)
    path = urlsplit(slow_deployment.callback(nonce)).path
    with posting.connected(slow_deployment) as connection:
        connection.sendall(posting.head(path, "Content-Length: 1000") + b"x" * 10)
    slow_deployment.sandbox.finish(run["upstreamId"])
    judge(slow_deployment, nonce, settled_by="watcher")
    assert verdicts(slow_deployment, run) == {"accepted": 1, "duplicate": 0, "repeats": 0}


def test_a_late_report_of_another_end_is_kept_as_a_conflict(deployment: harness.Deployment, nonce: str) -> None:
    run = deployment.submit(nonce)
    judge(deployment, nonce)
    body = posting.event(deployment.run(run)["upstreamId"], f"evt_{nonce}", "failed")
    answer = posting.post_event(deployment, body, posting.signed(deployment, body))
    assert answer.json()["verdict"] == "accepted"
    assert deployment.ledger_kinds(run).count("run.conflict") == 1
    judge(deployment, nonce)
