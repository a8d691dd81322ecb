"""API keys: which are accepted, and which errors the others get."""

from __future__ import annotations

import contextlib
import hashlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import errors
from receiver.web import authentication
from storage import states
from storage.engine.database import Database
from storage.repositories import api_keys
from storage.transitions import api_key_changes
from tests import life


async def _key(database: Database, *scopes: str) -> str:
    key, text = authentication.mint("backend", scopes or ("read",), life.NOW)
    await database.write(api_key_changes.create_key, key)
    return text


def test_a_key_is_its_id_and_256_random_bits_of_which_only_the_hash_stays() -> None:
    key, text = authentication.mint("backend", ["submit", "read", "read"], life.NOW)
    prefix, key_id, secret = text.split("_", 2)
    assert (prefix, key_id, len(secret)) == ("rl", key.id, 43)
    assert key.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert (key.scopes, key.created_at, key.revoked_at) == (("submit", "read"), life.NOW, None)


def test_no_two_keys_are_alike() -> None:
    made = [authentication.mint("backend", ["read"], life.NOW) for _ in range(100)]
    assert len({key.id for key, _ in made}) == len({text for _, text in made}) == 100


@pytest.mark.parametrize("name", ["", " ", "a" * 65, "a\n", "é", "a/b", "a\0"])
def test_a_key_has_a_name_that_can_be_printed(name: str) -> None:
    with pytest.raises(errors.InvalidKeyRequest, match="1 to 64"):
        authentication.mint(name, ["read"], life.NOW)


@pytest.mark.parametrize("name", list(states.Submitter))
def test_no_key_has_the_name_of_what_we_submit_ourselves(name: str) -> None:
    with pytest.raises(errors.InvalidKeyRequest, match="choose another"):
        authentication.mint(name, ["submit"], life.NOW)


@pytest.mark.parametrize("scopes", [[], ["write"], ["read", "everything"], ["READ"]])
def test_a_key_has_scopes_that_there_are(scopes: list[str]) -> None:
    with pytest.raises(errors.InvalidKeyRequest, match="submit, read, admin"):
        authentication.mint("backend", scopes, life.NOW)


@pytest.mark.anyio
@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER   {}", "Bearer {} "])
async def test_a_key_is_known_by_its_text(database: Database, form: str) -> None:
    text = await _key(database, "read", "submit")
    caller = await authentication.authenticate(database, [form.format(text)], life.NOW)
    assert (caller.name, caller.actor) == ("backend", "key:backend")
    assert caller.scopes == {"read", "submit"}


@pytest.mark.anyio
async def test_a_secret_may_have_underscores(database: Database) -> None:
    while (text := await _key(database)).count("_") < 4:
        pass
    assert (await authentication.authenticate(database, [f"Bearer {text}"], life.NOW)).name == "backend"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "form",
    ["{}", "Basic {}", "Bearer", "Bearer ", "Bearer{}", "Bearer {}x", "Bearer {},", " Bearer {}", "Bearer {} {}"],
)
async def test_a_header_of_another_form_is_no_key(database: Database, form: str) -> None:
    text = await _key(database)
    with pytest.raises(errors.NotAuthenticated) as caught:
        await authentication.authenticate(database, [form.format(text, text)], life.NOW)
    assert caught.value.key_given


@pytest.mark.anyio
async def test_two_authorization_headers_count_as_none(database: Database) -> None:
    text = await _key(database)
    with pytest.raises(errors.NotAuthenticated):
        await authentication.authenticate(database, [f"Bearer {text}"] * 2, life.NOW)


@pytest.mark.anyio
async def test_a_missing_key_has_an_error_of_its_own(database: Database) -> None:
    with pytest.raises(errors.NotAuthenticated) as caught:
        await authentication.authenticate(database, [], life.NOW)
    assert not caught.value.key_given


@pytest.mark.anyio
async def test_an_unknown_id_and_a_wrong_secret_are_the_same_answer(database: Database) -> None:
    text = await _key(database)
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    messages = set()
    for given_key in (wrong, "rl_0_" + text.split("_", 2)[2]):
        with pytest.raises(errors.NotAuthenticated) as caught:
            await authentication.authenticate(database, [f"Bearer {given_key}"], life.NOW)
        messages.add(str(caught.value))
    assert len(messages) == 1


@pytest.mark.anyio
async def test_a_revoked_key_is_unknown(database: Database) -> None:
    text = await _key(database)
    await database.write(api_key_changes.revoke_key, text.split("_")[1], life.at(1))
    with pytest.raises(errors.NotAuthenticated):
        await authentication.authenticate(database, [f"Bearer {text}"], life.at(2))


@pytest.mark.anyio
async def test_the_last_use_is_noted_once_a_minute(database: Database) -> None:
    text = await _key(database)
    noted = []
    for seconds in (0, 59, 60, 61):
        await authentication.authenticate(database, [f"Bearer {text}"], life.at(seconds))
        key = await database.read(api_keys.find, text.split("_")[1])
        assert key is not None
        assert key.last_used_at is not None
        noted.append((key.last_used_at - life.NOW) / timedelta(seconds=1))
    assert noted == [0, 0, 60, 60]


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [(["submit"], {"submit"}), (["submit", "read"], {"submit", "read"}), (["admin"], set(authentication.Scope))],
)
def test_a_scope_allows_itself_and_admin_everything(scopes: list[str], allowed: set[str]) -> None:
    caller = authentication.Caller("backend", frozenset(scopes))
    assert {scope for scope in authentication.Scope if caller.may(scope)} == allowed
    assert not any(authentication.ANONYMOUS.may(scope) for scope in authentication.Scope)


@given(st.text(max_size=120))
def test_no_header_whatever_breaks_the_parser(text: str) -> None:
    for header in (text, f"Bearer {text}", f"Bearer rl_{text}", f"Bearer rl_0_{text}"):
        with contextlib.suppress(errors.NotAuthenticated):
            authentication.parse([header])
