"""systemd: the units are valid, and `systemd-analyze` rates their exposure."""

from __future__ import annotations

import re
from pathlib import Path

from tests.deploy import files
from tests.deploy.check import tools

#: The exposure that is taken, of ten, times ten.
THRESHOLD = 20
INSTALLED = "/opt/runledger/bin/runledger"


def verified(folder: Path) -> str:
    """Check the units with the command at the place where it is installed here."""
    paths = [folder / name for name in files.UNITS]
    for path in paths:
        path.write_text(files.text(path.name).replace(INSTALLED, str(tools.BIN / "runledger")))
    output = tools.run(["systemd-analyze", "verify", *paths])
    if output:
        raise tools.Failed(output)
    scores = [_exposure(path) for path in paths]
    return f"exposure {', '.join(scores)} of 10"


def _exposure(path: Path) -> str:
    output = tools.run(["systemd-analyze", "security", "--offline=true", f"--threshold={THRESHOLD}", path])
    found = re.search(r"exposure level for \S+: ([\d.]+)", output)
    if found is None:
        raise tools.Failed(output)
    return found[1]
