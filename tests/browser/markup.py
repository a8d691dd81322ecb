"""Markup planted in every value that the upstream, the backend or any sender of a request controls."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import httpx2 as httpx

from storage import results, states
from storage.engine.database import Database
from tests import life

#: Executes or loads something wherever it is not shown as text; `fired` would be set, or another host asked.
PLANTED = (
    "\"'`><img src=x onerror=window.fired=1><script>window.fired=2</script>"
    "<svg onload=window.fired=3></svg><a href=javascript:window.fired=4 hx-get=//planted.invalid/>go</a>"
    "{{7*7}}${7*7}<style>*{display:none}</style><iframe src=//planted.invalid/></iframe>"
    "<div hx-get='/sign-in' hx-trigger='load' hx-nonce='x'>"
)
#: The same in Markdown.
_ANSWER = (
    "# Answer\n\n[go](javascript:window.fired=5) ![p](https://planted.invalid/p.png) "
    "<b onclick=window.fired=6>b</b>"
    f"\n\n<script>window.fired=7</script>\n\n[data](data:text/html,<script>window.fired=8</script>)\n\n{PLANTED}\n"
)


async def plant(store: Database) -> list[str]:
    """Store runs and a delivery whose every text is markup; return the ids of the runs."""
    step = dataclasses.replace(
        life.steps(1)[0], content=PLANTED, tool_name=PLANTED, tool_input={PLANTED: PLANTED}, tool_output=[PLANTED]
    )
    measured = life.measures(output=_ANSWER, summary=PLANTED, failure_reason=PLANTED, failure_source="logs")
    usage = [dataclasses.replace(life.usage(1)[0], model=PLANTED, service=PLANTED)]
    texts: dict[str, Any] = {"prompt": PLANTED, "guidance": PLANTED, "model": PLANTED, "agent_id": PLANTED[:120]}
    made = []
    for status in (states.COMPLETED, states.FAILED):
        body = json.dumps({"status": status, "text": PLANTED}).encode()
        ended = life.result(status, body, measures=measured, steps=[step, *_odd_steps()], usage=usage)
        run = await life.settled_run(
            store, status, result=ended, tags={"k<b>": PLANTED}, submitted_by=PLANTED[:60], **texts
        )
        made.append(run.id)
    return [*made, (await life.accepted(store, **texts)).id]


def _odd_steps() -> list[results.Step]:
    picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    first, second = life.steps(3)[1:]
    return [
        dataclasses.replace(first, tool_output={"image": picture, "html": f"<p>{PLANTED}</p>"}),
        dataclasses.replace(second, content=f"data:image/svg+xml;base64,{picture}"),
    ]


def send(server: str) -> None:
    """Send requests with markup in their body, path and headers to the public endpoints."""
    headers = {"case-webhook-id": "<b>1", "case-webhook-signature": "v1,<script>", "user-agent": "<img src=x>"}
    body = json.dumps({"id": PLANTED, "type": PLANTED, "runId": PLANTED})
    with httpx.Client(base_url=server, trust_env=False) as sender:
        sender.post("/webhooks/case", content=body, headers={**headers, "case-webhook-timestamp": "<b>"})
        sender.post("/callbacks/%3Cscript%3E", content=body)
