"""The context of all checks: the settings, as far as they can be read, and a time limit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from receiver import settings
from receiver.cli.doctor.findings import Finding
from storage.engine import urls


@dataclass(frozen=True)
class CheckContext:
    """The context of all checks.

    `given` are the settings, with defaults in place of invalid ones. `defaulted` are these defaults by name, and
    `errors` say what is invalid. `unknown` are variables with our prefix that are no setting, each with the
    nearest setting; `links` are those that Kubernetes adds. `timeout` is for one exchange, in seconds.
    """

    given: settings.Settings
    defaulted: Mapping[str, Any]
    errors: Sequence[str]
    unknown: Mapping[str, str | None]
    timeout: float
    links: Sequence[str] = ()

    def lacks(self, *fields: str) -> bool:
        """Return whether any of these settings is invalid, so that its default must not be used."""
        return any(each in self.defaulted for each in fields)

    @property
    def file(self) -> str | None:
        """Return the path of the embedded database, None for a database server."""
        return urls.file_path(self.given.url)

    @property
    def folders(self) -> list[Path]:
        """Return the data folder and the folder of the database file; none for a database server."""
        if self.file is None:
            return []
        found = [self.given.data_dir, Path(self.file).parent]
        return list(dict.fromkeys(each.absolute() for each in found))

    @property
    def is_new(self) -> bool:
        """Return whether the database file does not exist yet."""
        return self.file is not None and not Path(self.file).exists()

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the signing keys; none where they are not made yet."""
        return settings.signing_keys(self.given) if settings.has_signing_keys(self.given) else ()


Check = Callable[[CheckContext], AsyncIterator[Finding]]


def read(timeout: float) -> CheckContext:
    """Read the settings from the environment and .env."""
    given, defaulted, wrong = settings.load_with_defaults()
    return CheckContext(given, defaulted, wrong, settings.unknown_names(), timeout, settings.service_links())
