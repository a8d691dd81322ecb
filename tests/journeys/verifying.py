"""What journeys leave behind is verified: nothing that a server does breaks its own ledger."""

from __future__ import annotations

from receiver.crypto import log_keys
from receiver.verifier.store import verification
from storage.engine.database import Database
from storage.migrations import schema_version
from tests.server import Site
from tests.tamper import opened


async def demand_unbroken(site: Site) -> None:
    """Fail where the store of a site does not verify. A site without a store is passed."""
    async with Database(site.url, pooler=site.pooler) as database:
        if await database.read(schema_version.current) is None:
            return
    with opened.connection(site.url) as connection:
        trusted = opened.trusted(log_keys.parse(site.ledger_keys))
        report = verification.verify(connection, trusted)
    assert report.is_ok, "\n".join(f"{each.code}: {each.sentence}" for each in report.breaks)
