"""What the checks look at: the settings as far as they can be used, and how long anything may take."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from receiver import settings
from receiver.cli.doctor.findings import Finding
from storage import dialect


@dataclass(frozen=True)
class Scene:
    """`given` has defaults in place of what is wrong; `standing` are these, `wrong` says what it is.

    `unknown` are names of ours in the environment that mean nothing, `links` those that Kubernetes put there;
    `timeout` is for one exchange, in seconds.
    """

    given: settings.Settings
    standing: Mapping[str, Any]
    wrong: Sequence[str]
    unknown: Mapping[str, str | None]
    timeout: float
    links: Sequence[str] = ()

    def lacks(self, *fields: str) -> bool:
        """Whether any of these settings is wrong, so that nothing may be done by its default."""
        return any(each in self.standing for each in fields)

    @property
    def file(self) -> str | None:
        """The path of the embedded database, None for a server's."""
        return dialect.file_of(self.given.url)

    @property
    def folders(self) -> list[Path]:
        """Those of our data: of the keys, and of the database where it is a file elsewhere."""
        if self.file is None:
            return []  # a database server's, and its keys come from the settings
        found = [self.given.data_dir, Path(self.file).parent]
        return list(dict.fromkeys(each.absolute() for each in found))

    @property
    def is_new(self) -> bool:
        """Whether the file of the database is still to be made."""
        return self.file is not None and not Path(self.file).exists()

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that sign; none where they are still to be made."""
        return settings.signing_keys(self.given) if settings.has_signing_keys(self.given) else ()


Check = Callable[[Scene], AsyncIterator[Finding]]


def read(timeout: float) -> Scene:
    """The scene as the environment and .env make it."""
    given, standing, wrong = settings.load_sound()
    return Scene(given, standing, wrong, settings.unknown_names(), timeout, settings.service_links())
