"""The rounds: every check at once, each for itself, in a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from receiver.cli.doctor import findings, ground, inside, outside, stored
from receiver.cli.doctor.findings import Finding
from receiver.cli.doctor.scene import Check, Scene

#: In the order in which they are told.
CHECKS: Mapping[str, Check] = {
    "settings": ground.settings,
    "data folder": ground.folders,
    "database": stored.database,
    "upstream": outside.upstream,
    "public address": inside.public_address,
    "webhook secrets": inside.secrets,
    "backend": inside.backend,
    "programs": ground.programs,
}
#: So many exchanges one after the other has a check at most.
EXCHANGES = 3


async def made(scene: Scene, checks: Mapping[str, Check] = CHECKS) -> list[Finding]:
    """What all checks found. One that breaks says so in its place, and takes nothing from the others."""
    told: dict[str, list[Finding]] = {name: [] for name in checks}
    ended = await asyncio.gather(
        *(_made(scene, check, told[name]) for name, check in checks.items()), return_exceptions=True
    )
    for name, broken in zip(checks, ended, strict=True):
        if broken is not None:
            told[name].append(_broken(name, broken))
    return [finding for found in told.values() for finding in found]


async def _made(scene: Scene, check: Check, told: list[Finding]) -> None:
    async with asyncio.timeout(scene.timeout * EXCHANGES):
        async for finding in check(scene):  # what was found stays found where it breaks later
            told += [finding]


def _broken(name: str, error: BaseException) -> Finding:
    if isinstance(error, TimeoutError):
        return findings.fault(name, "this check did not come to an end in time", "try a longer --timeout")
    said = f"this check broke: {' '.join(f'{type(error).__name__}: {error}'.split())}"
    return findings.fault(name, said, "the other lines stand; what broke should be reported")
