"""All checks of the doctor, run at once, each in a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from receiver.cli.doctor import configuration_checks, findings, local_checks, store_checks, upstream_checks
from receiver.cli.doctor.findings import Check, CheckContext, Finding

#: All checks, in the order in which their findings are shown.
CHECKS: Mapping[str, Check] = {
    "settings": local_checks.settings,
    "data folder": local_checks.folders,
    "database": store_checks.database,
    "upstream": upstream_checks.upstream,
    "public address": configuration_checks.public_address,
    "webhook secrets": configuration_checks.secrets,
    "backend": configuration_checks.backend,
    "programs": local_checks.programs,
}
#: The most exchanges over the network that a check makes one after the other.
EXCHANGES = 3


async def run(context: CheckContext, checks: Mapping[str, Check] = CHECKS) -> list[Finding]:
    """Return the findings of all checks. A check that raises is a finding, and does not stop the others."""
    found: dict[str, list[Finding]] = {name: [] for name in checks}
    ended = await asyncio.gather(
        *(_run_one(context, check, found[name]) for name, check in checks.items()), return_exceptions=True
    )
    for name, error in zip(checks, ended, strict=True):
        if error is not None:
            found[name].append(_broken(name, error))
    return [finding for each in found.values() for finding in each]


async def _run_one(context: CheckContext, check: Check, found: list[Finding]) -> None:
    async with asyncio.timeout(context.timeout * EXCHANGES):
        async for finding in check(context):  # kept, even where the check raises later
            found += [finding]


def _broken(name: str, error: BaseException) -> Finding:
    if isinstance(error, TimeoutError):
        return findings.fault(name, "this check did not end in time", "try a longer --timeout")
    message = f"this check broke: {' '.join(f'{type(error).__name__}: {error}'.split())}"
    return findings.fault(name, message, "the other findings are valid; please report this one")
