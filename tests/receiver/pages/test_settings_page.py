"""The page with the settings: it shows what is set, and no secret."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from receiver import settings
from receiver.cli.doctor import findings, server_checks
from receiver.pages import configuration, health
from receiver.pages.configuration import fingerprint
from storage.engine.database import Database
from tests import life
from tests.receiver.pages import browsing
from tests.receiver.pages.browsing import Browser

pytestmark = pytest.mark.anyio

SECRETS = {
    "casedev_api_key": "sk_case_0123456789abcdef",
    "secret_keys": "k" * 40,
    "webhook_secrets": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "notify_secrets": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
}
PASSWORDS = {
    "database_url": "postgresql://runledger:pa%3Fss%40word@db.test/runs?sslpassword=hidden-word",
    "sql_database_url": "postgresql://reader:other-word@db.test/runs",
    "notify_url": "https://backend.test/done?token=query-word",
}


def given(**changes: str) -> settings.Settings:
    return settings.load(None, **changes)


def test_no_secret_is_in_any_row() -> None:
    rows = configuration.rows(given(**SECRETS, **PASSWORDS))
    shown = " ".join(value for _, value, _ in rows)
    hidden = [*SECRETS.values(), "pa%3Fss", "word@db", "hidden-word", "other-word", "query-word"]
    assert [each for each in hidden if each in shown] == []
    assert "postgresql+psycopg://…@db.test/runs?…" in shown or "postgresql://…@db.test/runs?…" in shown


def test_a_secret_has_the_same_fingerprint_on_each_server() -> None:
    rows = {name: value for name, value, _ in configuration.rows(given(**SECRETS))}
    assert rows["CASEDEV_API_KEY"] == fingerprint(SECRETS["casedev_api_key"])
    assert rows["RUNLEDGER_SECRET_KEYS"] == fingerprint(SECRETS["secret_keys"])
    assert rows["RUNLEDGER_NOTIFY_URL"] == "not set"


def test_each_setting_has_a_row_with_its_variable_and_explanation() -> None:
    rows = configuration.rows(given(data_dir=str(Path("data"))))
    assert [name for name, _, _ in rows] == [settings._variable(name) for name in settings.Settings.model_fields]
    assert all(explanation for _, _, explanation in rows)


async def test_the_page_needs_admin_and_shows_findings_with_what_to_do(browser: Browser) -> None:
    await browser.sign_in("read")
    assert "lacks admin" in await browser.text("/settings", 403)
    browser.client.cookies.clear()
    await browser.sign_in("read", "admin")
    said = await browser.text("/settings")
    assert "none is at work: it was never seen" in said
    assert "Start runledger serve" in said
    assert "runledger doctor" in said


async def test_what_the_doctor_finds_is_shown_with_what_to_do_and_without_a_secret(
    database: Database, tmp_path: Path
) -> None:
    checks = partial(server_checks.lines, given(**SECRETS, data_dir=str(tmp_path)), "0.0.1")
    async for browser in browsing.opened(database, checks=checks):
        await browser.sign_in("admin")
        page = await browser.text("/settings")
        assert "this server runs Runledger 0.0.1, and" in page
        assert "Restart it." in page
        assert "can be written" in page
        assert [each for each in SECRETS.values() if each in page] == []


async def test_a_store_that_does_not_answer_is_a_finding(database: Database) -> None:
    closed = Database(database.url)
    found = await server_checks.lines(given(), "0.0.1", closed)
    assert [each.level for each in found if each.name == "Database"] == [health.Level.BAD]


def test_clocks_that_are_apart_are_worth_a_look() -> None:
    levels = [server_checks.clock_finding(life.NOW, life.at(seconds)).level for seconds in (0.5, -90)]
    assert levels == [findings.Level.OK, findings.Level.WARNING]
