"""Delay imports until their first use, so that help and completion load only the options of a command.

A module of ours that is imported while this is installed is executed when one of its names is first read
(`importlib.util.LazyLoader`). A process that runs a command does not install it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

PACKAGES = ("receiver.", "storage.")


class _LazyFinder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(PACKAGES):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None or spec.submodule_search_locations is not None:
            return None  # a package has nothing to execute
        spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def install() -> None:
    """Delay further imports of our modules until their first use, in this process."""
    sys.meta_path.insert(0, _LazyFinder())
