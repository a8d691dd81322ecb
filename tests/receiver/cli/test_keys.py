"""Keys: made before anything else, shown once, revoked by id or name."""

from __future__ import annotations

from receiver import access, clock
from storage import changes
from storage.database import Database
from tests.receiver.cli.desk import Desk


def test_a_key_is_made_before_there_is_a_database_and_lets_its_holder_in(bare: Desk) -> None:
    made = bare.type("keys", "create", "backend", "--scope", "submit", "--scope", "read", "--json").object
    assert made["scopes"] == ["submit", "read"]

    async def enter(database: Database) -> access.Caller:
        return await access.authenticate(database, [f"Bearer {made['key']}"], clock.now())

    assert bare.behind(enter).name == "backend"


def test_people_are_told_that_a_key_is_shown_once(bare: Desk) -> None:
    first, second = bare.type("keys", "create", "ci", "--scope", "read,submit").out.splitlines()
    assert first.startswith("rl_")
    assert second.startswith("This is shown once. It may read, submit")


def test_the_list_holds_no_secret(bare: Desk) -> None:
    made = bare.type("keys", "create", "ci", "--scope", "read", "--json").object
    secret = made["key"].rsplit("_", 1)[1]
    for screen in (bare.type("keys", "list"), bare.type("keys", "list", "--json")):
        assert made["id"] in screen.out
        assert secret not in screen.out
        assert "sha256" not in screen.out.lower()


def test_a_key_is_revoked_by_its_name_or_its_id(bare: Desk) -> None:
    for name, by in (("one", "name"), ("two", "id")):
        made = bare.type("keys", "create", name, "--scope", "read", "--json").object
        assert bare.type("keys", "revoke", made[by], "--json").object["revokedAt"] is not None
    assert "revoked" in bare.type("keys", "list").out


def test_a_name_that_two_keys_have_revokes_neither(bare: Desk) -> None:
    ids = [bare.type("keys", "create", "ci", "--scope", "read", "--json").object["id"] for _ in range(2)]
    screen = bare.type("keys", "revoke", "ci")
    assert screen.code == 1
    assert all(key_id in screen.err for key_id in ids)
    assert [key["revokedAt"] for key in bare.type("keys", "list", "--json").objects] == [None, None]


def test_revoking_twice_or_nobody_fails_in_a_line(bare: Desk) -> None:
    bare.type("keys", "create", "ci", "--scope", "read")
    bare.type("keys", "revoke", "ci")
    assert "was revoked before" in bare.type("keys", "revoke", "ci").err
    assert bare.type("keys", "revoke", "who").err.startswith("runledger: there is no key of the id or name 'who'")


def test_a_key_that_cannot_be_is_wrong_usage(bare: Desk) -> None:
    assert bare.type("keys", "create", "ü", "--scope", "read").code == 2
    assert bare.type("keys", "create", "ci", "--scope", "sbmit").code == 2
    assert bare.type("keys", "create", "ci").code == 2


def test_the_ledger_tells_of_keys(bare: Desk) -> None:
    bare.type("keys", "create", "ci", "--scope", "read")
    bare.type("keys", "revoke", "ci")

    async def told(database: Database) -> list[str]:
        from storage import ledger

        await database.write(ledger.number, 10)
        return [entry.kind for entry in await database.read(changes.after, -1, 10)]

    assert bare.behind(told) == ["key.created", "key.revoked"]
