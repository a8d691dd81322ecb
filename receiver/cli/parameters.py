"""Declare the parameters of a command, one line each: flags, options and arguments."""

from __future__ import annotations

from typing import Any

import typer


def flag(name: str, help: str) -> Any:
    """Return an option without a value."""
    return typer.Option(name, help=help)


def option(metavar: str, help: str, *names: str, **more: Any) -> Any:
    """Return an option with a value; its name is that of the parameter, unless `names` are given."""
    return typer.Option(*names, metavar=metavar, help=help, **more)


def argument(metavar: str, help: str) -> Any:
    """Return an argument of a command."""
    return typer.Argument(metavar=metavar, help=help, show_default=False)
