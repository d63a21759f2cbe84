"""Importing LightGBM without what we do not use of it; the kernel does it alike."""

from serinus.model.lean import import_lightgbm

__all__ = ["import_lightgbm"]
