"""Importing LightGBM without what we do not use of it."""

from __future__ import annotations

import sys
from types import ModuleType


def import_lightgbm() -> ModuleType:
    """LightGBM without its optional pandas, Arrow, scikit-learn and plotting parts.

    On import LightGBM tries each of them "just in case", which costs a step 1.6 of
    its 1.9 seconds; only ``Booster`` and ``Dataset`` over numpy arrays are used here.
    While it is imported they are declared absent, and the declaration is withdrawn
    after, so that code that needs them still finds them. Without effect if LightGBM
    or they are loaded already.
    """
    absent = [
        name for name in ("pandas", "sklearn", "matplotlib", "graphviz", "pyarrow") if name not in sys.modules
    ]
    if "lightgbm" in sys.modules:
        return sys.modules["lightgbm"]
    for name in absent:
        sys.modules[name] = None  # pyright: ignore[reportArgumentType]
    try:
        import lightgbm
    finally:
        for name in absent:
            sys.modules.pop(name, None)
    return lightgbm
