"""`runledger webhooks` without a server: what it registers, shows, and prints when no event arrives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import sandbox_server
from tests.patience import until
from tests.receiver.cli.terminal import Terminal
from tests.server import free_port


@pytest.fixture(scope="module")
def sandbox() -> Iterator[sandbox_server.Sandbox]:
    """Yield the upstream of these tests."""
    with sandbox_server.running() as opened:
        yield opened


@pytest.fixture
def address(terminal: Terminal, sandbox: sandbox_server.Sandbox, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where events are to be sent; nothing listens there. The environment is that of a server."""
    public = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("CASEDEV_BASE_URL", sandbox.url)
    monkeypatch.setenv("CASEDEV_API_KEY", sandbox_server.KEY)
    monkeypatch.setenv("RUNLEDGER_PUBLIC_URL", public)
    return f"{public}/webhooks/case"


def register(terminal: Terminal) -> dict[str, Any]:
    return terminal.type("webhooks", "register", "--json").object


def test_registering_prints_what_was_done(terminal: Terminal, address: str) -> None:
    screen = terminal.type("webhooks", "register")
    assert (screen.code, screen.err) == (0, "")
    assert f"sends agent.run.* to {address} from now on" in screen.out
    assert "whsec_" not in screen.out


def test_registering_again_prints_that_nothing_is_missing(terminal: Terminal, address: str) -> None:
    first, second = register(terminal), register(terminal)
    assert (first["outcome"], second["outcome"], second["url"]) == ("created", "known", address)
    assert (first["upstreamId"], second["warnings"]) == (second["upstreamId"], [])


def test_a_registration_may_come_before_the_first_start(new_terminal: Terminal, address: str) -> None:
    (new_terminal.folder / "runledger.db").unlink()
    assert register(new_terminal)["outcome"] == "created"


@pytest.mark.parametrize("name", ["RUNLEDGER_PUBLIC_URL", "CASEDEV_API_KEY"])
def test_what_is_missing_in_the_settings_is_named(
    terminal: Terminal, address: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "")
    screen = terminal.type("webhooks", "register")
    assert (screen.code, screen.out) == (1, "")
    assert screen.err.startswith(f"runledger: {name} is empty: set it to")


@pytest.mark.parametrize("verb", ["rotate", "test", "resume", "remove"])
def test_without_an_endpoint_each_command_names_the_one_that_registers_it(
    terminal: Terminal, address: str, verb: str
) -> None:
    screen = terminal.type("webhooks", verb)
    assert (screen.code, screen.out) == (1, "")
    assert "`runledger webhooks register`" in screen.err


def test_status_without_an_endpoint_reports_that(terminal: Terminal, address: str) -> None:
    screen = terminal.type("webhooks", "status")
    assert (screen.code, "No webhook endpoint is registered" in screen.out) == (0, True)
    output = terminal.type("webhooks", "status", "--json").object
    assert (output["here"], output["upstream"]) == (None, None)


def test_status_shows_both_views(terminal: Terminal, sandbox: sandbox_server.Sandbox, address: str) -> None:
    known = register(terminal)
    with sandbox.client() as upstream:
        upstream.patch(f"/webhooks/v1/endpoints/{known['upstreamId']}", json={"status": "disabled"})
    output = terminal.type("webhooks", "status", "--json").object
    assert (output["here"]["status"], output["upstream"]["status"]) == ("active", "disabled")
    assert "runledger webhooks resume" in output["warnings"][0]
    shown = terminal.type("webhooks", "status").out
    assert "upstream" in shown
    assert known["upstreamId"] in shown
    assert "! the webhook endpoint" in shown


def test_status_shows_our_endpoint_where_the_upstream_is_away(
    terminal: Terminal, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = register(terminal)
    monkeypatch.setenv("CASEDEV_BASE_URL", f"http://127.0.0.1:{free_port()}")
    screen = terminal.type("webhooks", "status", "--json")
    assert (screen.code, screen.object["here"]["upstreamId"]) == (1, known["upstreamId"])
    assert "the upstream could not be asked" in screen.err


def test_a_rotation_names_both_secrets(terminal: Terminal, address: str) -> None:
    register(terminal)
    output = terminal.type("webhooks", "rotate", "--json").object
    new, old = output["secrets"]
    assert (new["expiresAt"], old["expiresAt"] is None, new["name"] != old["name"]) == (None, False, True)
    shown = terminal.type("webhooks", "rotate", "--grace", "2h").out
    assert "has a new secret, stored and in force" in shown
    assert new["name"] in shown


@pytest.mark.parametrize("grace", ["31d", ">1h", "1h..2h", "soon", ""])
def test_a_grace_that_is_none_is_wrong_usage(terminal: Terminal, address: str, grace: str) -> None:
    screen = terminal.type("webhooks", "rotate", "--grace", grace)
    assert (screen.code, screen.err.startswith("runledger: --grace:")) == (2, True)


def test_a_test_that_does_not_arrive_names_what_to_check(terminal: Terminal, address: str) -> None:
    register(terminal)
    screen = terminal.type("webhooks", "test")
    assert (screen.code, screen.out) == (1, "")
    assert f"Case.dev had no answer from {address}" in screen.err
    assert "RUNLEDGER_PUBLIC_URL" in screen.err


def test_a_test_of_a_deleted_endpoint_names_the_command_for_a_new_one(
    terminal: Terminal, sandbox: sandbox_server.Sandbox, address: str
) -> None:
    known = register(terminal)
    with sandbox.client() as upstream:
        upstream.delete(f"/webhooks/v1/endpoints/{known['upstreamId']}")
    screen = terminal.type("webhooks", "test")
    assert (screen.code, "`runledger webhooks register`" in screen.err) == (1, True)


@pytest.mark.parametrize("change", [{"status": "disabled"}, None])
def test_the_doctor_asks_the_upstream_for_the_state_of_the_endpoint(
    terminal: Terminal, sandbox: sandbox_server.Sandbox, address: str, change: dict[str, str] | None
) -> None:
    """No server has looked since; and what the doctor sees it does not write down."""
    path = f"/webhooks/v1/endpoints/{register(terminal)['upstreamId']}"
    with sandbox.client() as upstream:
        (upstream.patch(path, json=change) if change else upstream.delete(path)).raise_for_status()
    (output,) = (each for each in terminal.type("doctor", "--json").objects if each["name"] == "webhook endpoint")
    remedy = "resume" if change else "register"
    assert (output["level"], output["advice"]) == ("warning", f"run `runledger webhooks {remedy}`")


@pytest.mark.parametrize("place", ["where nothing listens", "where all is 404"])
def test_the_doctor_goes_by_the_last_look_where_the_upstream_is_away(
    terminal: Terminal, sandbox: sandbox_server.Sandbox, address: str, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    known = register(terminal)
    nobody, other = f"http://127.0.0.1:{free_port()}", f"{sandbox.url}/elsewhere"
    monkeypatch.setenv("CASEDEV_BASE_URL", nobody if place == "where nothing listens" else other)
    (output,) = (each for each in terminal.type("doctor", "--json").objects if each["name"] == "webhook endpoint")
    assert (output["level"], output["said"].startswith(f"{known['upstreamId']} is active, seen ")) == ("ok", True)


def test_resuming_enables_the_endpoint_again(
    terminal: Terminal, sandbox: sandbox_server.Sandbox, address: str
) -> None:
    known = register(terminal)
    path = f"/webhooks/v1/endpoints/{known['upstreamId']}"
    with sandbox.client() as upstream:
        upstream.patch(path, json={"status": "disabled"})
        screen = terminal.type("webhooks", "resume")
        assert upstream.get(path).json()["status"] == "active"
    assert (screen.code, "No failed delivery is missing here." in screen.out) == (0, True)


def test_what_was_replayed_and_did_not_come_is_counted(
    terminal: Terminal, sandbox: sandbox_server.Sandbox, address: str
) -> None:
    known = register(terminal)
    with sandbox.client() as upstream:
        upstream.patch(f"/webhooks/v1/endpoints/{known['upstreamId']}", json={"status": "disabled"})
        run = sandbox_server.new_run(upstream)
        upstream.post(f"/agent/v1/run/{run}/exec").raise_for_status()
    until(lambda: sandbox.run(run)["status"] == "completed")
    screen = terminal.type("webhooks", "resume", "--wait", "0", "--json")
    assert screen.code == 1
    assert (screen.object["missed"], screen.object["replayed"], screen.object["arrived"]) == (1, 1, 0)


def test_a_removed_endpoint_is_gone_on_both_sides(
    terminal: Terminal, sandbox: sandbox_server.Sandbox, address: str
) -> None:
    known = register(terminal)
    assert terminal.type("webhooks", "remove").out == f"{known['upstreamId']} is removed.\n"
    with sandbox.client() as upstream:
        assert upstream.get(f"/webhooks/v1/endpoints/{known['upstreamId']}").status_code == 404
    assert terminal.type("webhooks", "status", "--json").object["here"] is None


@pytest.mark.parametrize("verb", ["register", "rotate", "test", "status", "resume", "remove"])
def test_each_verb_explains_itself_with_an_example(terminal: Terminal, verb: str) -> None:
    shown = terminal.type("webhooks", verb, "--help")
    assert (shown.code, f"runledger webhooks {verb}" in shown.out) == (0, True)
