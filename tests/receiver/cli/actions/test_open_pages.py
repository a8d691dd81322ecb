"""The link that opens the pages."""

from __future__ import annotations

from tests.receiver.cli.terminal import Terminal


def test_a_link_signs_in_as_the_operator_whose_key_is_made_once(terminal: Terminal) -> None:
    first, second = (terminal.type("open", "--json").object for _ in range(2))
    assert first["address"].startswith("http://127.0.0.1:8080/sign-in/")
    assert first["address"] != second["address"]
    (key,) = terminal.type("keys", "list", "--json").objects
    assert (key["name"], sorted(key["scopes"])) == (first["key"], ["admin", "read", "submit"])


def test_a_link_signs_in_as_a_key_that_is_named_at_an_address_that_is_given(terminal: Terminal) -> None:
    terminal.type("keys", "create", "ci", "--scope", "read")
    screen = terminal.type("open", "--key", "ci", "--address", "https://runs.example.com/below/", "--print")
    link, sentence = screen.out.splitlines()
    assert link.startswith("https://runs.example.com/below/sign-in/")
    assert sentence == "This signs in once, as the key ci (read), within ten minutes."


def test_no_link_is_made_for_a_key_that_is_unknown_or_revoked(terminal: Terminal) -> None:
    assert "there is no key" in terminal.type("open", "--key", "who").err
    terminal.type("keys", "create", "ci", "--scope", "read")
    terminal.type("keys", "revoke", "ci")
    assert "is revoked" in terminal.type("open", "--key", "ci").err
