"""Settings: read once, checked, frozen; secrets never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from receiver import errors, settings, signing_keys


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings.Settings.model_fields:
        for prefix in ("", settings.PREFIX):
            monkeypatch.delenv(prefix + name.upper(), raising=False)


def load(**given: object) -> settings.Settings:
    return settings.load(env_file=None, **given)


def test_the_defaults_make_a_server_in_the_data_folder() -> None:
    made = load()
    assert made.is_embedded
    assert made.url.startswith("sqlite:////")
    assert made.url.endswith("data/runledger.db")


def test_statements_go_to_the_file_or_to_a_role_of_their_own() -> None:
    server, role = "postgresql://owner@db/runledger", "postgresql://runledger_sql@db/runledger"
    assert (load().sql, load().sql_url) == ("off", load().url)
    assert load(database_url=server).sql_url == ""
    assert load(database_url=server, sql_database_url=role).sql_url == role


def test_the_environment_takes_precedence_over_an_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("CASEDEV_API_KEY=sk_case_file\nRUNLEDGER_WORKER_CONCURRENCY=3\n")
    monkeypatch.setenv("RUNLEDGER_WORKER_CONCURRENCY", "5")
    made = settings.load(env_file=file)
    assert (made.casedev_api_key.get_secret_value(), made.worker_concurrency) == ("sk_case_file", 5)


def test_several_values_are_separated_by_commas_or_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    new, old, older = ("n" * 24, "o" * 24, "old" * 8)
    monkeypatch.setenv("RUNLEDGER_SECRET_KEYS", f"{new}, {old}  {older},,")
    monkeypatch.setenv("RUNLEDGER_TRUSTED_PROXIES", "10.0.0.0/8,::1/128")
    made = load()
    assert signing_keys.of_addresses(made) == (new, old, older)
    assert [str(network) for network in made.trusted_proxies] == ["10.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"worker_concurrency": 0}, "RUNLEDGER_WORKER_CONCURRENCY"),
        ({"public_url": "runledger.example.com"}, "RUNLEDGER_PUBLIC_URL"),
        ({"public_url": "http://runledger.example.com"}, "must be https"),
        ({"casedev_base_url": "ftp://x"}, "CASEDEV_BASE_URL"),
        ({"trusted_proxies": "10.0.0.0/99"}, "RUNLEDGER_TRUSTED_PROXIES"),
        ({"retention": "running=9d"}, "RUNLEDGER_RETENTION"),
        ({"retention": "failed=9d failed=8d"}, "RUNLEDGER_RETENTION"),
        ({"retention": "failed=9"}, "RUNLEDGER_RETENTION"),
        ({"retention": "failed=0d"}, "RUNLEDGER_RETENTION"),
        ({"database_url": "no address"}, "RUNLEDGER_DATABASE_URL"),
        ({"sql": "admin"}, "RUNLEDGER_SQL"),
        ({"sql_database_url": "sqlite:///x.db"}, "RUNLEDGER_SQL_DATABASE_URL"),
        ({"sweep_seconds": "-1"}, "RUNLEDGER_SWEEP_SECONDS"),
        ({"webhook_key_encoding": "rot13"}, "RUNLEDGER_WEBHOOK_KEY_ENCODING"),
    ],
)
def test_a_bad_value_is_named_in_a_sentence(given: dict[str, object], named: str) -> None:
    with pytest.raises(errors.SettingsError, match=named):
        load(**given)


def test_plain_http_is_taken_while_the_upstream_is_a_sandbox() -> None:
    made = load(public_url="http://127.0.0.1:8080/", casedev_base_url="http://127.0.0.1:9000")
    assert made.public_url == "http://127.0.0.1:8080"


def test_a_complaint_shows_no_secret() -> None:
    with pytest.raises(errors.SettingsError) as caught:
        load(casedev_api_key=["sk_case_planted"], jobs=0)
    assert "planted" not in str(caught.value)


def test_settings_are_frozen_and_hide_secrets() -> None:
    made = load(casedev_api_key="sk_case_planted", secret_keys="planted" * 4, webhook_secrets="whsec_%planted")
    assert "planted" not in repr(made)
    with pytest.raises(ValidationError):
        made.worker_concurrency = 3  # type: ignore[misc]


def test_an_embedded_server_makes_a_key_once_and_keeps_it_to_its_owner(tmp_path: Path) -> None:
    made = load(data_dir=tmp_path)
    assert signing_keys.of_addresses(made) == signing_keys.of_addresses(made)
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_key_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    signing_keys.of_addresses(load(data_dir=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
    assert len((tmp_path / "secret.key").read_text().strip()) == 64


def test_replicas_must_be_given_their_key() -> None:
    with pytest.raises(errors.SettingsError, match="SECRET_KEYS"):
        signing_keys.of_addresses(load(database_url="postgresql+psycopg://x/y"))


def test_without_an_upstream_key_the_error_names_the_remedy() -> None:
    with pytest.raises(errors.SettingsError, match="CASEDEV_API_KEY is empty"):
        settings.require_api_key(load())


SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgYmFja2VuZCwgd2hvbGU="


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"notify_secrets": ""}, "RUNLEDGER_NOTIFY_URL is set, and RUNLEDGER_NOTIFY_SECRETS is not"),
        ({"notify_url": "backend.example.com/hooks"}, "RUNLEDGER_NOTIFY_URL: must be an address such as"),
        ({"notify_url": "https://backend.example.com/#hooks"}, "RUNLEDGER_NOTIFY_URL: must be an address such as"),
        (
            {"notify_url": "https://me:word@backend.example.com"},
            "RUNLEDGER_NOTIFY_URL: must be an address such as",
        ),
        ({"notify_url": "https://backend.example.com:99999"}, "RUNLEDGER_NOTIFY_URL: must be an address such as"),
        ({"notify_url": "http://backend.example.com"}, "RUNLEDGER_NOTIFY_URL must be https, unless"),
        ({"notify_url": "https://10.0.0.1/hooks"}, "leads to 10.0.0.1, which is not a public address"),
        ({"notify_url": "https://[::1]/hooks"}, "leads to ::1, which is not a public address"),
        ({"notify_url": "https://localhost/hooks"}, "RUNLEDGER_NOTIFY_ALLOW_PRIVATE=true"),
    ],
)
def test_a_backend_that_cannot_be_notified_is_named_at_the_start(given: dict[str, object], named: str) -> None:
    usual = {"notify_url": "https://backend.example.com/hooks", "notify_secrets": SECRET}
    with pytest.raises(errors.SettingsError, match=named):
        load(**usual | given)


def test_a_backend_has_a_path_and_a_query_and_may_be_private_where_that_is_meant() -> None:
    url = "http://10.0.0.1:8000/hooks/?tenant=7"
    assert load(notify_url=url, notify_secrets=SECRET, notify_allow_private=True).notify_url == url


def test_a_misspelt_variable_is_found_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLEDGER_PUBLIC_ULR", "https://x")
    assert settings.unknown_names()["RUNLEDGER_PUBLIC_ULR"] == "RUNLEDGER_PUBLIC_URL"


def test_a_wrong_setting_is_reported_and_the_others_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLEDGER_WORKER_CONCURRENCY", "many")
    monkeypatch.setenv("RUNLEDGER_PUBLIC_URL", "http://runledger.example.com")
    monkeypatch.setenv("RUNLEDGER_ADOPT", "all")
    made, standing, sentences = settings.load_with_defaults(env_file=None)
    assert (made.worker_concurrency, made.public_url, made.adopt) == (8, "", "all")
    assert set(standing) == {"worker_concurrency", "public_url"}
    assert [sentence.split(" ")[0] for sentence in sentences] == [
        "RUNLEDGER_WORKER_CONCURRENCY:",
        "RUNLEDGER_PUBLIC_URL",
    ]


@pytest.mark.parametrize(
    ("name", "value", "fields"),
    [
        ("CASEDEV_BASE_URL", "http://example.com", {"casedev_base_url"}),
        ("RUNLEDGER_NOTIFY_URL", "https://example.com", {"notify_url", "notify_secrets"}),
        ("RUNLEDGER_DATABASE_URL", "no address", {"database_url"}),
        ("RUNLEDGER_TRUSTED_PROXIES", "10.0.0.0/99", {"trusted_proxies"}),
        ("RUNLEDGER_WEBHOOK_KEY_ENCODING", "rot13", {"webhook_key_encoding"}),
    ],
)
def test_one_sentence_is_given_for_all_settings_that_it_names(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, fields: set[str]
) -> None:
    monkeypatch.setenv(name, value)
    _, standing, sentences = settings.load_with_defaults(env_file=None)
    assert set(standing) == fields
    assert all(name in sentence for sentence in sentences)


def test_looking_for_keys_makes_none(tmp_path: Path) -> None:
    made = load(data_dir=tmp_path)
    assert not signing_keys.has_keys_of_addresses(made)
    assert list(tmp_path.iterdir()) == []
    signing_keys.of_addresses(made)
    assert signing_keys.has_keys_of_addresses(made)


ONE, TWO = "whsec_" + "b25l" * 10, "whsec_" + "dHdv" * 10


def texts(made: settings.Settings, name: str = "webhook_secrets") -> list[str]:
    return [secret.get_secret_value() for secret in getattr(made, name)]


@pytest.mark.parametrize(
    "spelled",
    [
        f"{ONE},{TWO}", f"v1,{ONE} v1,{TWO}", f"v1, {ONE}, v1, {TWO}", f'"{ONE}" , "{TWO}"', f"'{ONE}, {TWO}'",
        f'"v1,{ONE}",\n"v1,{TWO}"\n', f'["{ONE}", "{TWO}"]', f"'[\"{ONE}\",\"v1,{TWO}\"]'", f",,{ONE}, ,{TWO},",
        f"\ufeff{ONE}\u00a0{TWO}\u200b", f"\u201c{ONE}\u201d\t{TWO}",
    ],
)  # fmt: skip
def test_secrets_are_understood_as_they_are_pasted(spelled: str) -> None:
    given = {"webhook_secrets": spelled, "notify_secrets": spelled, "secret_keys": spelled}
    made = load(**given)
    assert [texts(made, name)[:2] for name in given] == [[ONE, TWO]] * 3


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"webhook_secrets": "v1"}, 1),
        ({"webhook_secrets": "v1,whsec_shrt"}, 1),
        ({"webhook_secrets": f"{ONE},whsec_c2hvcnQ="}, 2),
        ({"webhook_secrets": "ab" * 23, "webhook_key_encoding": "hex"}, 1),
        ({"webhook_secrets": f"{ONE} planted-short", "webhook_key_encoding": "raw"}, 2),
        ({"notify_secrets": f"{ONE},c2hvcnQ="}, 2),
        ({"notify_secrets": "whsec_%%%"}, 1),
        ({"secret_keys": f"{ONE}, planted-short"}, 2),
        ({"secret_keys": "v1"}, 1),
    ],
)
def test_a_secret_that_can_be_guessed_is_refused_at_the_start(given: dict[str, object], place: int) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        load(**given)
    named = next(iter(given)).upper()
    assert f"RUNLEDGER_{named}" in str(caught.value)
    assert f"number {place}" in str(caught.value)
    assert "planted" not in str(caught.value)


def test_quotes_around_a_key_are_no_part_of_it() -> None:
    key = "k" * 24
    assert signing_keys.of_addresses(load(secret_keys=f'"{key}"')) == (key,)


@pytest.mark.parametrize("spelled", [" sk_case_1\n", '"sk_case_1"', "Bearer sk_case_1", "'bearer  sk_case_1'"])
def test_the_upstream_key_is_understood_as_it_is_pasted(spelled: str) -> None:
    assert load(casedev_api_key=spelled).casedev_api_key.get_secret_value() == "sk_case_1"


@pytest.mark.parametrize("key", ["sk_case_1 sk_case_2", "sk_case_1\nx", "sk_case_\u2026", "sk_case_\x00"])
def test_an_upstream_key_that_no_header_takes_is_named_without_itself(key: str) -> None:
    with pytest.raises(errors.SettingsError, match="CASEDEV_API_KEY: contains a blank") as caught:
        load(casedev_api_key=key)
    assert "sk_case" not in str(caught.value)


@pytest.mark.parametrize("held", [b"", b"\n", b"0123456789", b"\xff\xfe" * 40])
def test_a_key_file_without_a_whole_key_is_named_and_left_alone(tmp_path: Path, held: bytes) -> None:
    (tmp_path / "secret.key").write_bytes(held)
    with pytest.raises(errors.SettingsError, match=r"secret\.key holds no complete key"):
        signing_keys.of_addresses(load(data_dir=tmp_path))
    assert (tmp_path / "secret.key").read_bytes() == held


def test_a_key_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret.key").mkdir()
    with pytest.raises(errors.SettingsError, match=r"secret\.key cannot be created or read: Is a directory"):
        signing_keys.of_addresses(load(data_dir=tmp_path))


@pytest.mark.parametrize(
    ("spelled", "networks"),
    [
        ("10.0.0.0/8, ::1", ["10.0.0.0/8", "::1/128"]),
        ('["10.0.0.0/8","192.0.2.7"]', ["10.0.0.0/8", "192.0.2.7/32"]),
        ("::ffff:10.0.0.0/104 [fd00::]/8", ["10.0.0.0/8", "fd00::/8"]),
        (" , ", []),
    ],
)
def test_trusted_networks_are_understood_as_they_are_pasted(spelled: str, networks: list[str]) -> None:
    assert [str(network) for network in load(trusted_proxies=spelled).trusted_proxies] == networks


@pytest.mark.parametrize(
    ("spelled", "said"),
    [
        ("10.0.0.7/8", "write 10.0.0.0/8, or 10.0.0.7 for the address alone"),
        ("proxy.internal", "names are not looked up"),
        ("*", r"\* is no network"),
    ],
)
def test_a_trusted_network_that_is_none_is_named_with_what_to_write(spelled: str, said: str) -> None:
    with pytest.raises(errors.SettingsError, match=f"RUNLEDGER_TRUSTED_PROXIES: .*{said}"):
        load(trusted_proxies=f"127.0.0.1 {spelled}")
