"""`runledger webhooks`, typed beside no server: what is registered, shown, and said when nothing comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import sandbox_server
from tests.patience import until
from tests.receiver.cli.desk import Desk
from tests.server import free_port


@pytest.fixture(scope="module")
def sandbox() -> Iterator[sandbox_server.Sandbox]:
    """The upstream of these tests."""
    with sandbox_server.running() as opened:
        yield opened


@pytest.fixture
def address(desk: Desk, sandbox: sandbox_server.Sandbox, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where events are to be sent; nobody listens there. The environment is that of a server."""
    public = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("CASEDEV_BASE_URL", sandbox.url)
    monkeypatch.setenv("CASEDEV_API_KEY", sandbox_server.KEY)
    monkeypatch.setenv("RUNLEDGER_PUBLIC_URL", public)
    return f"{public}/webhooks/case"


def register(desk: Desk) -> dict[str, Any]:
    return desk.type("webhooks", "register", "--json").object


def test_registering_says_what_was_done(desk: Desk, address: str) -> None:
    screen = desk.type("webhooks", "register")
    assert (screen.code, screen.err) == (0, "")
    assert f"sends agent.run.* to {address} from now on" in screen.out
    assert "whsec_" not in screen.out


def test_registering_again_says_that_all_is_there(desk: Desk, address: str) -> None:
    first, second = register(desk), register(desk)
    assert (first["outcome"], second["outcome"], second["url"]) == ("created", "known", address)
    assert (first["upstreamId"], second["warnings"]) == (second["upstreamId"], [])


def test_a_registration_may_come_before_the_first_start(bare: Desk, address: str) -> None:
    (bare.folder / "runledger.db").unlink()
    assert register(bare)["outcome"] == "created"


@pytest.mark.parametrize("name", ["RUNLEDGER_PUBLIC_URL", "CASEDEV_API_KEY"])
def test_what_is_missing_in_the_settings_is_named(
    desk: Desk, address: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "")
    screen = desk.type("webhooks", "register")
    assert (screen.code, screen.out) == (1, "")
    assert screen.err.startswith(f"runledger: {name} is empty: set it to")


@pytest.mark.parametrize("verb", ["rotate", "test", "resume", "remove"])
def test_without_an_endpoint_each_verb_says_how_to_get_one(desk: Desk, address: str, verb: str) -> None:
    screen = desk.type("webhooks", verb)
    assert (screen.code, screen.out) == (1, "")
    assert "`runledger webhooks register`" in screen.err


def test_status_without_an_endpoint_says_so(desk: Desk, address: str) -> None:
    screen = desk.type("webhooks", "status")
    assert (screen.code, "No webhook endpoint is registered" in screen.out) == (0, True)
    told = desk.type("webhooks", "status", "--json").object
    assert (told["here"], told["upstream"]) == (None, None)


def test_status_shows_both_views(desk: Desk, sandbox: sandbox_server.Sandbox, address: str) -> None:
    known = register(desk)
    with sandbox.client() as upstream:
        upstream.patch(f"/webhooks/v1/endpoints/{known['upstreamId']}", json={"status": "disabled"})
    told = desk.type("webhooks", "status", "--json").object
    assert (told["here"]["status"], told["upstream"]["status"]) == ("active", "disabled")
    assert "runledger webhooks resume" in told["warnings"][0]
    shown = desk.type("webhooks", "status").out
    assert "upstream" in shown
    assert known["upstreamId"] in shown
    assert "! the webhook endpoint" in shown


def test_status_tells_ours_where_the_upstream_cannot_be_asked(
    desk: Desk, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = register(desk)
    monkeypatch.setenv("CASEDEV_BASE_URL", f"http://127.0.0.1:{free_port()}")
    screen = desk.type("webhooks", "status", "--json")
    assert (screen.code, screen.object["here"]["upstreamId"]) == (1, known["upstreamId"])
    assert "the upstream could not be asked" in screen.err


def test_a_rotation_names_both_secrets(desk: Desk, address: str) -> None:
    register(desk)
    told = desk.type("webhooks", "rotate", "--json").object
    new, old = told["secrets"]
    assert (new["expiresAt"], old["expiresAt"] is None, new["name"] != old["name"]) == (None, False, True)
    shown = desk.type("webhooks", "rotate", "--grace", "2h").out
    assert "has a new secret, stored and in force" in shown
    assert new["name"] in shown


@pytest.mark.parametrize("grace", ["31d", ">1h", "1h..2h", "soon", ""])
def test_a_grace_that_is_none_is_wrong_usage(desk: Desk, address: str, grace: str) -> None:
    screen = desk.type("webhooks", "rotate", "--grace", grace)
    assert (screen.code, screen.err.startswith("runledger: --grace:")) == (2, True)


def test_a_test_that_does_not_come_says_what_to_look_at(desk: Desk, address: str) -> None:
    register(desk)
    screen = desk.type("webhooks", "test")
    assert (screen.code, screen.out) == (1, "")
    assert f"Case.dev had no answer from {address}" in screen.err
    assert "RUNLEDGER_PUBLIC_URL" in screen.err


def test_a_test_of_an_endpoint_that_is_gone_says_how_to_get_another(
    desk: Desk, sandbox: sandbox_server.Sandbox, address: str
) -> None:
    known = register(desk)
    with sandbox.client() as upstream:
        upstream.delete(f"/webhooks/v1/endpoints/{known['upstreamId']}")
    screen = desk.type("webhooks", "test")
    assert (screen.code, "`runledger webhooks register`" in screen.err) == (1, True)


@pytest.mark.parametrize("change", [{"status": "disabled"}, None])
def test_the_doctor_asks_the_upstream_how_the_endpoint_stands(
    desk: Desk, sandbox: sandbox_server.Sandbox, address: str, change: dict[str, str] | None
) -> None:
    """No server has looked since; and what the doctor sees it does not write down."""
    path = f"/webhooks/v1/endpoints/{register(desk)['upstreamId']}"
    with sandbox.client() as upstream:
        (upstream.patch(path, json=change) if change else upstream.delete(path)).raise_for_status()
    (told,) = (each for each in desk.type("doctor", "--json").objects if each["name"] == "webhook endpoint")
    remedy = "resume" if change else "register"
    assert (told["level"], told["advice"]) == ("warning", f"run `runledger webhooks {remedy}`")


@pytest.mark.parametrize("place", ["where nobody listens", "where all is 404"])
def test_the_doctor_goes_by_the_last_look_where_the_upstream_is_away(
    desk: Desk, sandbox: sandbox_server.Sandbox, address: str, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    known = register(desk)
    nobody, other = f"http://127.0.0.1:{free_port()}", f"{sandbox.url}/elsewhere"
    monkeypatch.setenv("CASEDEV_BASE_URL", nobody if place == "where nobody listens" else other)
    (told,) = (each for each in desk.type("doctor", "--json").objects if each["name"] == "webhook endpoint")
    assert (told["level"], told["said"].startswith(f"{known['upstreamId']} is active, seen ")) == ("ok", True)


def test_resuming_enables_the_endpoint_again(desk: Desk, sandbox: sandbox_server.Sandbox, address: str) -> None:
    known = register(desk)
    path = f"/webhooks/v1/endpoints/{known['upstreamId']}"
    with sandbox.client() as upstream:
        upstream.patch(path, json={"status": "disabled"})
        screen = desk.type("webhooks", "resume")
        assert upstream.get(path).json()["status"] == "active"
    assert (screen.code, "No failed delivery is missing here." in screen.out) == (0, True)


def test_what_was_replayed_and_did_not_come_is_counted(
    desk: Desk, sandbox: sandbox_server.Sandbox, address: str
) -> None:
    known = register(desk)
    with sandbox.client() as upstream:
        upstream.patch(f"/webhooks/v1/endpoints/{known['upstreamId']}", json={"status": "disabled"})
        run = sandbox_server.new_run(upstream)
        upstream.post(f"/agent/v1/run/{run}/exec").raise_for_status()
    until(lambda: sandbox.run(run)["status"] == "completed")
    screen = desk.type("webhooks", "resume", "--wait", "0", "--json")
    assert screen.code == 1
    assert (screen.object["missed"], screen.object["replayed"], screen.object["arrived"]) == (1, 1, 0)


def test_a_removed_endpoint_is_gone_on_both_sides(
    desk: Desk, sandbox: sandbox_server.Sandbox, address: str
) -> None:
    known = register(desk)
    assert desk.type("webhooks", "remove").out == f"{known['upstreamId']} is removed.\n"
    with sandbox.client() as upstream:
        assert upstream.get(f"/webhooks/v1/endpoints/{known['upstreamId']}").status_code == 404
    assert desk.type("webhooks", "status", "--json").object["here"] is None


@pytest.mark.parametrize("verb", ["register", "rotate", "test", "status", "resume", "remove"])
def test_each_verb_explains_itself_with_an_example(desk: Desk, verb: str) -> None:
    shown = desk.type("webhooks", verb, "--help")
    assert (shown.code, f"runledger webhooks {verb}" in shown.out) == (0, True)
