"""The configuration with which Alembic runs migrations."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from sqlalchemy import Connection


def config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, without a file; its commands use the connection."""
    result = Config()
    result.set_main_option("script_location", str(Path(__file__).parent))
    result.attributes["connection"] = connection
    return result
