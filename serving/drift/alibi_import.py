"""Alibi Detect's classes without what else the package brings; only the modules ``alibi*`` here import it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any

from serinus.errors import SerinusError

_PACKAGES = ("alibi_detect", "alibi_detect.cd")


def load(module: str, name: str) -> Any:
    """The class ``name`` of ``alibi_detect.cd.<module>``.

    ``import alibi_detect`` loads every detector there is, and with them transformers and pydantic: twice the time and
    twice the memory of the modules needed here. Empty packages in the place of its two ``__init__`` files spare that;
    where that does not work, the whole is loaded.

    Raises:
        SerinusError: SRN-DRIFT-009 if Alibi Detect is not installed.
    """
    if not any(package in sys.modules for package in _PACKAGES):
        _stand_in()
        try:
            return getattr(importlib.import_module(f"alibi_detect.cd.{module}"), name)
        except (ImportError, AttributeError):
            for loaded in [n for n in sys.modules if n.partition(".")[0] == "alibi_detect"]:
                del sys.modules[loaded]
    return getattr(importlib.import_module(f"alibi_detect.cd.{module}"), name)


def _stand_in() -> None:
    spec = importlib.util.find_spec("alibi_detect")
    if spec is None or not spec.submodule_search_locations:
        raise SerinusError(
            "SRN-DRIFT-009",
            "Alibi Detect is not installed in this environment",
            where="--detector alibi",
            hint="Install the extra `drift`, or requirements/drift-apache.txt on Python 3.11; or use --detector numpy.",
        )
    root = spec.submodule_search_locations[0]
    for name, path in zip(_PACKAGES, (root, f"{root}/cd"), strict=True):
        package = types.ModuleType(name)
        package.__path__ = [path]
        package.__spec__ = ModuleSpec(name, None, is_package=True)
        sys.modules[name] = package
