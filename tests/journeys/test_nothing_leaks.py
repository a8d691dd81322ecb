"""Secrets, tokens, prompts and bodies are planted, and searched for in all logs and answers of the server."""

from __future__ import annotations

import secrets
from typing import Any

import httpx2 as httpx

from tests import sandbox_server, server
from tests.patience import until

PLANTED = {
    name: f"planted{secrets.token_hex(12)}"
    for name in ("api_key", "signing_key", "prompt", "guidance", "tag", "body")
}
WEBHOOK = "whsec_cGxhbnRlZCB3ZWJob29rIHNlY3JldCwgd2hvbGU="


def _live(deployment: server.Server, sandbox: sandbox_server.Sandbox) -> list[str]:
    """Everything that touches a secret once, well and badly; return the errors that were answered."""
    with sandbox.client() as api, deployment.client() as client:
        body: dict[str, Any] = {
            "agentId": sandbox_server.new_agent(api),
            "prompt": PLANTED["prompt"],
            "guidance": PLANTED["guidance"],
        }
        body["tags"] = {"client": PLANTED["tag"]}
        assert client.post("/v1/runs", json=body, headers={"Prefer": "wait=10"}).status_code == 200
        sandbox.faults(unauthorized=True)
        client.post("/v1/runs", json=body)
        bad = client.post("/v1/runs", json=body | {"prompt": [PLANTED["prompt"]], "odd": PLANTED["body"]})
        until(lambda: client.get("/readyz").status_code == 503, why="the pause was not reported")
        forged = [
            httpx.post(f"{deployment.url}/callbacks/{PLANTED['body']}", content=PLANTED["body"]),
            httpx.post(f"{deployment.url}/webhooks/case", content=PLANTED["body"]),
            httpx.get(f"{deployment.url}/v1/runs", headers={"Authorization": f"Bearer rl_x_{PLANTED['body']}"}),
            client.get("/readyz"),
            client.get("/v1/jobs"),
        ]
        return [bad.text, client.get("/metrics").text, *(answer.text for answer in forged)]


def test_no_secret_token_prompt_or_body_is_in_a_log_a_metric_or_an_error(site: server.Site) -> None:
    settings: dict[str, Any] = {
        "casedev_api_key": f"sk_case_{PLANTED['api_key']}",
        "secret_keys": PLANTED["signing_key"],
        "webhook_secrets": WEBHOOK,
        "log_level": "debug",
    }
    with (
        sandbox_server.running(seed=secrets.randbits(30), run_seconds=0.2) as sandbox,
        server.running(site, sandbox.url, **settings) as deployment,
    ):
        errors = _live(deployment, sandbox)
        token = sandbox.run(sandbox.runs()[0]["id"])["watchers"][0].rsplit("/", 1)[1]
        deployment.stop()
        said = "\n".join([deployment.log.read_text(), *errors])
    looked_for = [*PLANTED.values(), WEBHOOK, WEBHOOK.removeprefix("whsec_"), token, deployment.key]
    assert "run.completed" in said
    assert not [text for text in looked_for if text in said]
