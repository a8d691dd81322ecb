"""The pages in process, with a client that signs in as a browser does."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx2 as httpx

from receiver.api import route_table
from receiver.crypto import secret_box
from receiver.inbound import processing, signature_doctor, webhook_secrets
from receiver.pages import page_table, requests, sessions, site
from receiver.web import routing
from storage.engine import database
from tests.receiver.api import app_fixture

_TOKEN = re.compile(r'name="csrf" value="([^"]+)"')
#: The webhook secret of this deployment: base64, and hexadecimal for who reads it so.
SECRET = "0123456789abcdef" * 4
#: The headers of a browser that follows a link of the page that it shows.
BROWSER = {"accept": "text/html,application/xhtml+xml", "sec-fetch-site": "same-origin"}


@dataclass
class Browser:
    """A browser that may be signed in, and the deployment behind it."""

    deployment: app_fixture.Deployment
    client: httpx.AsyncClient

    @property
    def database(self) -> database.Database:
        return self.deployment.database

    async def sign_in(self, *scopes: str) -> httpx.Response:
        """Sign in with a new key of these scopes, those of a reader unless any are given."""
        self.client.cookies.clear()
        key = await self.deployment.new_key("night-ops", *(scopes or ("read",)))
        return await self.client.post("/sign-in", data={"key": key})

    async def get(self, path: str, status: int = 200, **headers: str) -> httpx.Response:
        """Return a page, which has to have this status."""
        response = await self.client.get(path, headers=headers)
        assert response.status_code == status, response.text
        return response

    async def text(self, path: str, status: int = 200) -> str:
        """Return what a page says, without its markup."""
        return seen((await self.get(path, status)).text)

    async def post(self, path: str, status: int = 303, /, **fields: Any) -> httpx.Response:
        """Send a form with the token of a page of this session."""
        token = _TOKEN.findall((await self.client.get("/keyboard")).text)
        response = await self.client.post(path, data={"csrf": token[0] if token else "", **fields})
        assert response.status_code == status, response.text
        return response


def seen(markup: str) -> str:
    """Return the text of a page: no tags, no icons, single blanks."""
    body = re.sub(r"(?s)^.*?<main[^>]*>|<(script|style|svg)\b.*?</\1>", " ", markup)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


async def opened(store: database.Database, *, checks: Any = None, **changes: Any) -> AsyncIterator[Browser]:
    """Yield a browser before a fresh deployment; `changes` are fields of the handlers' context,
    `checks` what the page of the settings shows."""
    async for deployment in app_fixture.opened(store, **changes):
        context = app_fixture.context(store, deployment.clock, **changes)
        signer = sessions.Signer(["a key of this test, which is long enough"])
        api = routing.Api(route_table.OPERATIONS, context)
        box = secret_box.SecretBox(["a key of this test, which is long enough"])
        secrets = webhook_secrets.WebhookSecrets(store, box, [SECRET], "base64", context.timing, print)
        context = replace(context, process=processing.Processor(store, secrets))
        doctor = signature_doctor.Doctor(secrets)
        app = site.Site(page_table.PAGES, requests.Context(context, signer, examine=doctor, checks=checks), api)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://runledger.test", headers=BROWSER
        ) as client:
            yield Browser(deployment, client)
