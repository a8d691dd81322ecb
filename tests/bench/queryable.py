"""From a callback being sent to its run being found with its final state, minus what the upstream took.

One run after another: a callback, then GET of the run until it has ended. The upstream reports how long it took to
answer; all else counts, the polling included.
"""

from __future__ import annotations

import http.client
import json
import time

from receiver.crypto import tokens
from tests.bench import product, settling, upstream
from tests.bench.options import Options
from tests.bench.report import Figure, Part

#: Bytes of a document.
SIZE = 5000
#: Seconds between two looks, and after which a run counts as not found.
PAUSE, TIMEOUT = 0.001, 30.0
#: Runs that do not count.
WARM_UP = 20


def run(new_site: product.NewSite, options: Options) -> list[Part]:
    """Measure runs of small documents."""
    site = new_site()
    with upstream.running(SIZE) as address, product.running(site, address, **settling.SETTINGS) as ours:
        runs = product.add_running(site, options.samples + WARM_UP)
        signer, connection = tokens.Signer([site.secret_keys]), http.client.HTTPConnection("127.0.0.1", ours.port)
        waits = [_until_found(connection, ours.key, signer, each) for each in runs]
        connection.close()
        took = upstream.seconds(address)
    found = {each.upstream_id: seconds for each, seconds in zip(runs, waits, strict=True) if seconds is not None}
    counted = list(found)[WARM_UP:] or list(found)
    own = sorted((found[id_] - took[id_]) * 1000 for id_ in counted)
    row = {
        "p50 ms": Figure.of([_percentile(own, 0.5)]),
        "p99 ms": Figure.of([_percentile(own, 0.99)]),
        "longest ms": Figure.of(own[-1:]),
        "upstream p50 ms": Figure.of([_percentile(sorted(took[id_] * 1000 for id_ in counted), 0.5)]),
    }
    title = f"Callback to queryable: documents of {SIZE // 1000} kB, one at a time"
    return [Part(title, {"Runledger": row}, (), len(runs), len(found))]


def _until_found(
    connection: http.client.HTTPConnection, key: str, signer: tokens.Signer, run: product.KnownRun
) -> float | None:
    """Return the seconds from the callback until the run has ended; None where it does not."""
    body = json.dumps({"runId": run.upstream_id, "status": "completed"})
    began = time.perf_counter()
    connection.request("POST", f"/callbacks/{signer.token(run.id)}", body)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, f"the callback was answered {answer.status}"
    while time.perf_counter() - began < TIMEOUT:
        connection.request("GET", f"/v1/runs/{run.id}", headers={"authorization": f"Bearer {key}"})
        if json.loads(connection.getresponse().read())["status"] == "completed":
            return time.perf_counter() - began
        time.sleep(PAUSE)
    return None


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
