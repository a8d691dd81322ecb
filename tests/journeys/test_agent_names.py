"""The names of agents come from the upstream, and runs are found by them."""

from __future__ import annotations

from tests import sandbox_server
from tests.journeys import harness
from tests.patience import until
from tests.server import Site


def test_the_name_of_a_new_agent_arrives_and_finds_its_runs(site: Site) -> None:
    with harness.opened(site, timing={"new_agents": 0.1}) as deployment:
        name = "Clause <b>reviewer</b>"
        agent = sandbox_server.new_agent(deployment.upstream, name=name)
        run = deployment.submit("names", agentId=agent)
        question = "SELECT name FROM agents WHERE id = ?"
        assert until(lambda: deployment.server.rows(question, agent)) == [{"name": name}]
        found = deployment.api.get("/v1/runs", params={"agent": name}).json()["runs"]
        assert [each["id"] for each in found] == [run["id"]]


def test_a_list_that_fails_disturbs_nothing(site: Site) -> None:
    with harness.opened(site, timing={"new_agents": 0.1, "agents": 0.2, "sweep": 0.1}) as deployment:
        deployment.script({"route": "agents.list", "action": "status:403"})
        asked = len(deployment.sandbox.calls("agents.list"))
        run = deployment.submit("fails", agentId=sandbox_server.new_agent(deployment.upstream))
        until(lambda: len(deployment.sandbox.calls("agents.list")) > asked + 2)
        deployment.until_run(run, "completed")
        assert deployment.server.rows("SELECT id FROM jobs WHERE failures > 0 AND kind = 'sweep'") == []
        deployment.judge_ready()
