"""The corpus as a file that programs of others can read, too: bytes in base64, for some are no text."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tests.vectors.ledger import cases

FILE = Path(__file__).with_name("cases.json")


def made() -> bytes:
    """Return the file as the cases make it."""
    listed = [_object(each) for each in cases.every()]
    return (json.dumps({"cases": listed}, indent=1) + "\n").encode()


def _object(case: cases.Case) -> dict[str, Any]:
    parts = {"leaf": case.leaf, "proof": case.proof, "policy": case.policy}
    encoded = {name: base64.b64encode(data).decode() for name, data in parts.items()}
    return {"name": case.name, "verdict": case.verdict, **encoded}


def read() -> list[cases.Case]:
    """Return the cases of the file."""
    listed = json.loads(FILE.read_text())["cases"]
    return [
        cases.Case(
            each["name"], each["verdict"], *(base64.b64decode(each[name]) for name in ("leaf", "proof", "policy"))
        )
        for each in listed
    ]
