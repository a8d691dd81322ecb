"""Settings as people paste them: obvious slips are corrected, other faults are named in a sentence."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from receiver import environment, errors, setting_values, settings
from receiver.cli.doctor import findings, local_checks


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith(("RUNLEDGER_", "CASEDEV_"))]:
        monkeypatch.delenv(name)


#: A variable as it is pasted, and the value that is meant.
TAKEN = [
    ("RUNLEDGER_WORKER_CONCURRENCY", " 16 ", 16),
    ("RUNLEDGER_WORKER_CONCURRENCY", '"16"', 16),
    ("RUNLEDGER_WORKER_CONCURRENCY", "", 8),
    ("RUNLEDGER_WORKER_CONCURRENCY", '""', 8),
    ("RUNLEDGER_WORKER_CONCURRENCY", "16\r", 16),
    ("RUNLEDGER_BODY_LIMIT", "1_000_000", 1_000_000),
    ("RUNLEDGER_SWEEP_SECONDS", " 0.5 ", 0.5),
    ("RUNLEDGER_SWEEP_SECONDS", "1e1", 10.0),
    ("RUNLEDGER_DATABASE_POOLER", " TRUE ", True),
    ("RUNLEDGER_DATABASE_POOLER", "'no'", False),
    ("RUNLEDGER_ADOPT", "All", "all"),
    ("RUNLEDGER_LOG_LEVEL", "WARNING", "warning"),
    ("RUNLEDGER_LOG_FORMAT", '"JSON"', "json"),
    ("RUNLEDGER_DATA_DIR", " '/var/lib/my runs' ", Path("/var/lib/my runs")),
    ("CASEDEV_BASE_URL", " https://api.case.dev/ \n", "https://api.case.dev"),
    ("CASEDEV_BASE_URL", "“https://api.case.dev”", "https://api.case.dev"),
    ("CASEDEV_API_KEY", '"sk_case_1"\n', SecretStr("sk_case_1")),
    ("CASEDEV_API_KEY", "\ufeffsk_case_1\u00a0", SecretStr("sk_case_1")),
    ("RUNLEDGER_PUBLIC_URL", "https://a.example/below/", "https://a.example/below"),
    ("RUNLEDGER_PUBLIC_URL", "https://[2001:db8::7]:8443", "https://[2001:db8::7]:8443"),
    ("RUNLEDGER_DATABASE_URL", "'postgres://me@db/name'", "postgres://me@db/name"),
]


@pytest.mark.parametrize(("name", "pasted", "meant"), TAKEN)
def test_what_is_pasted_means_what_is_meant(
    monkeypatch: pytest.MonkeyPatch, name: str, pasted: str, meant: object
) -> None:
    monkeypatch.setenv(name, pasted)
    made = settings.load(env_file=None)
    assert getattr(made, name.removeprefix("RUNLEDGER_").lower()) == meant


WHOLE = "must be a whole number in digits, such as 8"
#: A variable that cannot be meant, and what is said of it.
REFUSED = [
    ("RUNLEDGER_WORKER_CONCURRENCY", "1e3", WHOLE),
    ("RUNLEDGER_WORKER_CONCURRENCY", "8.5", WHOLE),
    ("RUNLEDGER_WORKER_CONCURRENCY", "eight", WHOLE),
    ("RUNLEDGER_WORKER_CONCURRENCY", "1,000", WHOLE),
    ("RUNLEDGER_WORKER_CONCURRENCY", "9" * 5000, "is far too large"),
    ("RUNLEDGER_BODY_LIMIT", "1MB", WHOLE),
    ("RUNLEDGER_SWEEP_SECONDS", "often", "must be a number of seconds"),
    ("RUNLEDGER_SWEEP_SECONDS", "nan", "should be"),
    ("RUNLEDGER_SWEEP_SECONDS", "inf", "should be less"),
    ("RUNLEDGER_DATABASE_POOLER", "perhaps", "must be true or false"),
    ("RUNLEDGER_ADOPT", "some", "'none' or 'all'"),
    ("RUNLEDGER_DATA_DIR", "~/runs", "which only a shell expands"),
    ("CASEDEV_BASE_URL", "api.case.dev", "an address such as https://api.case.dev"),
    ("CASEDEV_BASE_URL", "https://api.case.dev:port", "an address such as"),
    ("CASEDEV_BASE_URL", "https://api.case.dev:99999", "an address such as"),
    ("CASEDEV_BASE_URL", "https://[::1", "an address such as"),
    ("CASEDEV_BASE_URL", "https://api .case.dev", "an address such as"),
    ("CASEDEV_BASE_URL", "https://api\n.case.dev", "an address such as"),
    ("CASEDEV_BASE_URL", "https:///v1", "an address such as"),
    ("RUNLEDGER_PUBLIC_URL", "https://a.example/?tenant=7", "without a query"),
    ("RUNLEDGER_PUBLIC_URL", "https://me:PLANTED@a.example", "an address such as"),
    ("RUNLEDGER_PUBLIC_URL", "https://a.example/#top", "without a query"),
    ("RUNLEDGER_NOTIFY_URL", "https://[::1", "an address such as"),
    ("CASEDEV_API_KEY", "sk_case_PLANTED\nsk", "paste only the key"),
    ("CASEDEV_API_KEY", "sk_case_PLANTÉD", "paste only the key"),
    ("RUNLEDGER_DATABASE_URL", "postgresql://me:p@PLANTED/w#rd@db/name", "%40 %3A"),
    ("RUNLEDGER_SQL_DATABASE_URL", "postgresql://me:p@PLANTED/w#rd@db/name", "%40 %3A"),
    ("RUNLEDGER_SQL_DATABASE_URL", "sqlite:////a/b.db", "an address such as postgresql://"),
]


@pytest.mark.parametrize(("name", "pasted", "said"), REFUSED)
def test_what_cannot_be_meant_is_named_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, pasted: str, said: str
) -> None:
    monkeypatch.setenv(name, pasted)
    with pytest.raises(errors.SettingsError) as caught:
        settings.load(env_file=None)
    (sentence,) = str(caught.value).splitlines()
    assert sentence.startswith(f"{name}: ")
    assert said in sentence
    assert "PLANT" not in sentence
    _, standing, reported = settings.load_with_defaults(env_file=None)  # the doctor names it, and goes on
    assert (reported, len(standing)) == ([sentence], 1)


LINE = "RUNLEDGER_WORKER_CONCURRENCY=3\n"
FILES = {
    "UTF-16": (LINE.encode("utf-16"), "looks like UTF-16: save it as UTF-8"),
    "UTF-16 without a mark": (LINE.encode("utf-16-le"), "looks like UTF-16"),
    "Latin-1": ((LINE + "# Schlüssel\n").encode("latin-1"), "is not UTF-8 text from line 2 on"),
    "NUL": (LINE.encode() + b"\x00", "save it as UTF-8"),
}


@pytest.mark.parametrize("form", FILES)
def test_a_file_of_settings_that_cannot_be_read_is_named(tmp_path: Path, form: str) -> None:
    content, said = FILES[form]
    file = tmp_path / ".env"
    file.write_bytes(content)
    with pytest.raises(errors.SettingsError, match=said):
        settings.load(env_file=file)
    assert settings.unknown_names(file) == {}


@pytest.mark.parametrize("content", [LINE.encode("utf-8-sig"), LINE.replace("\n", "\r\n").encode(), b"\n"])
def test_a_file_of_settings_in_utf8_is_read_with_a_mark_in_front_or_without(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / ".env"
    file.write_bytes(content)
    assert settings.load(env_file=file).worker_concurrency == (3 if content.strip() else 8)
    assert settings.unknown_names(file) == {}


def test_a_folder_in_the_place_of_the_file_is_named_unless_it_is_a_virtual_environment(tmp_path: Path) -> None:
    folder = tmp_path / ".env"
    folder.mkdir()
    with pytest.raises(errors.SettingsError, match="is a folder"):
        settings.load(env_file=folder)
    (folder / "pyvenv.cfg").touch()
    assert settings.load(env_file=folder).worker_concurrency == 8


def test_of_a_file_that_cannot_be_read_nothing_is_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_bytes(LINE.encode("utf-16"))
    monkeypatch.setenv("RUNLEDGER_ADOPT", "all")
    made, standing, sentences = settings.load_with_defaults(file)
    assert made.adopt == "all"
    assert "adopt" not in standing
    assert {"database_url", "data_dir", "public_url"} <= standing.keys()
    assert len(sentences) == 1


#: What Kubernetes puts into each container of a namespace with services `runledger` and `runledger-db`.
LINKS: Mapping[str, str] = {
    "RUNLEDGER_SERVICE_HOST": "10.96.0.7",
    "RUNLEDGER_SERVICE_PORT": "8080",
    "RUNLEDGER_SERVICE_PORT_HTTP": "8080",
    "RUNLEDGER_PORT": "tcp://10.96.0.7:8080",
    "RUNLEDGER_PORT_8080_TCP": "tcp://10.96.0.7:8080",
    "RUNLEDGER_PORT_8080_TCP_PROTO": "tcp",
    "RUNLEDGER_PORT_8080_TCP_PORT": "8080",
    "RUNLEDGER_PORT_8080_TCP_ADDR": "10.96.0.7",
    "RUNLEDGER_DB_PORT": "tcp://[fd00::7]:5432",
    "RUNLEDGER_DB_SERVICE_HOST": "fd00::7",
    "RUNLEDGER_DB_PORT_53_UDP_ADDR": "fd00::7",
}


def test_the_links_of_kubernetes_are_no_settings_and_a_mistyped_one_is_still_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {**LINKS, "RUNLEDGER_PUBLIC_ULR": "https://x"}.items():
        monkeypatch.setenv(name, value)
    assert settings.unknown_names(os.devnull) == {"RUNLEDGER_PUBLIC_ULR": "RUNLEDGER_PUBLIC_URL"}
    assert environment.service_links(os.devnull) == sorted(LINKS)


@pytest.mark.anyio
async def test_the_doctor_counts_the_links_of_kubernetes_and_names_the_remedy() -> None:
    looked_at = findings.CheckContext(settings.load(env_file=None), {}, [], {}, 1.0, sorted(LINKS))
    (found,) = [each async for each in local_checks.settings(looked_at)]
    assert found.level is findings.Level.OK
    assert f"{len(LINKS)} variables" in found.message
    assert "enableServiceLinks: false" in found.message


def test_a_port_that_is_given_as_a_setting_is_named_with_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLEDGER_PORT", "8080")
    assert settings.unknown_names(os.devnull) == {"RUNLEDGER_PORT": "the option --port of `runledger serve`"}


@pytest.mark.parametrize("value", ["8080", "tcp://10.96.0.7:8080"])
def test_no_setting_has_a_name_that_kubernetes_makes(value: str) -> None:
    names: list[Any] = [settings.PREFIX + name.upper() for name in settings.Settings.model_fields]
    assert not [name for name in names if setting_values.is_service_link(name, value)]
