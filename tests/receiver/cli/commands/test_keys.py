"""Keys: made before anything else, shown once, revoked by id or name."""

from __future__ import annotations

from receiver import clock
from receiver.web import authentication
from storage.engine.database import Database
from storage.repositories import ledger_changes
from tests.receiver.cli.terminal import Terminal


def test_a_key_is_made_before_there_is_a_database_and_lets_its_holder_in(new_terminal: Terminal) -> None:
    made = new_terminal.type("keys", "create", "backend", "--scope", "submit", "--scope", "read", "--json").object
    assert made["scopes"] == ["submit", "read"]

    async def enter(database: Database) -> authentication.Caller:
        return await authentication.authenticate(database, [f"Bearer {made['key']}"], clock.now())

    assert new_terminal.in_database(enter).name == "backend"


def test_people_see_that_a_key_is_shown_once(new_terminal: Terminal) -> None:
    first, second = new_terminal.type("keys", "create", "ci", "--scope", "read,submit").out.splitlines()
    assert first.startswith("rl_")
    assert second.startswith("This is shown once. Scopes: read, submit")


def test_the_list_holds_no_secret(new_terminal: Terminal) -> None:
    made = new_terminal.type("keys", "create", "ci", "--scope", "read", "--json").object
    secret = made["key"].rsplit("_", 1)[1]
    for screen in (new_terminal.type("keys", "list"), new_terminal.type("keys", "list", "--json")):
        assert made["id"] in screen.out
        assert secret not in screen.out
        assert "sha256" not in screen.out.lower()


def test_a_key_is_revoked_by_its_name_or_its_id(new_terminal: Terminal) -> None:
    for name, by in (("one", "name"), ("two", "id")):
        made = new_terminal.type("keys", "create", name, "--scope", "read", "--json").object
        assert new_terminal.type("keys", "revoke", made[by], "--json").object["revokedAt"] is not None
    assert "revoked" in new_terminal.type("keys", "list").out


def test_a_name_that_two_keys_have_revokes_neither(new_terminal: Terminal) -> None:
    ids = [new_terminal.type("keys", "create", "ci", "--scope", "read", "--json").object["id"] for _ in range(2)]
    screen = new_terminal.type("keys", "revoke", "ci")
    assert screen.code == 1
    assert all(key_id in screen.err for key_id in ids)
    assert [key["revokedAt"] for key in new_terminal.type("keys", "list", "--json").objects] == [None, None]


def test_revoking_twice_or_nobody_fails_in_a_line(new_terminal: Terminal) -> None:
    new_terminal.type("keys", "create", "ci", "--scope", "read")
    new_terminal.type("keys", "revoke", "ci")
    assert "is revoked already" in new_terminal.type("keys", "revoke", "ci").err
    assert new_terminal.type("keys", "revoke", "who").err.startswith(
        "runledger: there is no key with the id or name 'who'"
    )


def test_a_key_that_cannot_be_is_wrong_usage(new_terminal: Terminal) -> None:
    assert new_terminal.type("keys", "create", "ü", "--scope", "read").code == 2
    assert new_terminal.type("keys", "create", "ci", "--scope", "sbmit").code == 2
    assert new_terminal.type("keys", "create", "ci").code == 2


def test_the_ledger_records_keys(new_terminal: Terminal) -> None:
    new_terminal.type("keys", "create", "ci", "--scope", "read")
    new_terminal.type("keys", "revoke", "ci")

    async def output(database: Database) -> list[str]:
        from storage.ledger import entries

        await database.write(entries.number, 10)
        return [entry.kind for entry in await database.read(ledger_changes.after, -1, 10)]

    assert new_terminal.in_database(output) == ["key.created", "key.revoked"]
