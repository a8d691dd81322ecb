"""Markup planted in every value that the upstream, the backend or any sender of a request controls."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import httpx2 as httpx
from sqlalchemy import Connection, insert, update

from receiver import clock
from receiver.web import authentication
from storage import ids, results, states
from storage.engine.database import Database
from storage.repositories import jobs
from storage.tables.integrations import NOTIFICATIONS
from storage.tables.jobs import JOBS
from storage.tables.views import SAVED_VIEWS
from storage.transitions import api_key_changes
from tests import life, sandbox_server
from tests.journeys import harness, posting

#: Executes or loads something wherever it is not shown as text; `fired` would be set, or another host asked.
PLANTED = (
    "\"'`><img src=x onerror=window.fired=1><script>window.fired=2</script>"
    "<svg onload=window.fired=3></svg><a href=javascript:window.fired=4 hx-get=//planted.invalid/>go</a>"
    "{{7*7}}${7*7}<style>*{display:none}</style><iframe src=//planted.invalid/></iframe>"
    "<div hx-get='/sign-in' hx-trigger='load' hx-nonce='x'>"
)
#: The same for values whose length is bounded.
SHORT = "\"'><img src=x onerror=window.fired=9>"
#: The same in Markdown.
_ANSWER = (
    "# Answer\n\n[go](javascript:window.fired=5) ![p](https://planted.invalid/p.png) "
    "<b onclick=window.fired=6>b</b>"
    f"\n\n<script>window.fired=7</script>\n\n[data](data:text/html,<script>window.fired=8</script>)\n\n{PLANTED}\n"
)


async def plant(store: Database) -> list[str]:
    """Store runs and a delivery whose every text is markup; return the ids of the runs. No server may run."""
    step = dataclasses.replace(
        life.steps(1)[0], content=PLANTED, tool_name=PLANTED, tool_input={PLANTED: PLANTED}, tool_output=[PLANTED]
    )
    measured = life.measures(output=_ANSWER, summary=PLANTED, failure_reason=PLANTED, failure_source="logs")
    usage = [dataclasses.replace(life.usage(1)[0], model=PLANTED, service=PLANTED)]
    texts: dict[str, Any] = {"prompt": PLANTED, "guidance": PLANTED, "model": PLANTED, "agent_id": PLANTED[:120]}
    made = []
    for status in (states.COMPLETED, states.FAILED):
        body = json.dumps({"status": status, "text": PLANTED, SHORT: [{"name": PLANTED}]}).encode()
        ended = life.result(status, body, measures=measured, steps=[step, *_odd_steps()], usage=usage)
        run = await life.settled_run(
            store, status, result=ended, tags={"k<b>": PLANTED}, submitted_by=PLANTED[:60],
            object_ids=(PLANTED, "<b>file</b>.pdf"), idempotency_key=SHORT + status, **texts,
        )  # fmt: skip
        made.append(run.id)
    made += [(await each(store, **texts)).id for each in (life.running, life.accepted)]
    await store.write(_records, made)
    key, _ = authentication.mint("planted", ["read"], clock.now())
    await store.write(api_key_changes.create_key, dataclasses.replace(key, name=SHORT))
    return made


def _odd_steps() -> list[results.Step]:
    picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    first, second = life.steps(3)[1:]
    return [
        dataclasses.replace(first, tool_output={"image": picture, "html": f"<p>{PLANTED}</p>"}),
        dataclasses.replace(second, content=f"data:image/svg+xml;base64,{picture}"),
    ]


def _records(connection: Connection, run_ids: list[str]) -> None:
    """Store what belongs to runs: jobs that fail, answers of a backend, views of the list."""
    now = life.at(86400 * 3650)
    jobs.enqueue(connection, [jobs.JobRequest(states.Kind.NOTIFY, each, now) for each in run_ids])
    failing = JOBS.c.kind == states.Kind.NOTIFY.value
    connection.execute(update(JOBS).where(failing).values(failures=3, last_error=PLANTED, last_error_at=life.NOW))
    connection.execute(update(JOBS).where(failing, JOBS.c.run_id == run_ids[0]).values(dead_at=life.NOW))
    tried = {"attempts": 3, "last_attempt_at": life.NOW, "last_status": 500, "last_error": PLANTED}
    for each in run_ids[:2]:
        row = {"run_id": each, "event_id": SHORT + each, "body": PLANTED.encode(), "created_at": life.NOW, **tried}
        connection.execute(insert(NOTIFICATIONS).values(row))
    view = {
        "id": ids.new(life.NOW),
        "owner": "night-ops",
        "name": PLANTED,
        "is_shared": True,
        "question": "q=" + SHORT,
    }
    connection.execute(insert(SAVED_VIEWS).values(view | {"created_at": life.NOW, "updated_at": life.NOW}))


def send(deployment: harness.Deployment) -> None:
    """Send requests with markup in their body, path and headers to the public endpoints, and submit a run."""
    headers = {"case-webhook-id": "<b>1", "case-webhook-signature": "v1,<script>", "user-agent": SHORT}
    body = json.dumps({"id": PLANTED, "type": PLANTED, "runId": PLANTED, SHORT: {"file": PLANTED}})
    with httpx.Client(base_url=deployment.server.url, trust_env=False) as sender:
        sender.post("/webhooks/case", content=body, headers={**headers, "case-webhook-timestamp": "<b>"})
        sender.post("/callbacks/%3Cscript%3E", content=body, headers=headers)
    posting.post_event(deployment, body.encode(), {**posting.signed(deployment, body.encode()), "x-odd": PLANTED})
    agent = sandbox_server.new_agent(deployment.upstream, name=PLANTED)
    submitted = {"agentId": agent, "guidance": PLANTED, "model": SHORT, "tags": {"client": PLANTED[:256]}}
    run = deployment.submit(PLANTED, key=SHORT, **submitted)
    deployment.until_run(run, "completed", "failed", "refused")
