"""Models of other libraries in a text format of our own, which carries no code.

Where a bundle's ``model.txt`` is not LightGBM's text it is one JSON object:

- ``serinus.io/trees/v1``: the arrays of ``Trees`` in base64 (little-endian), and a
  ``link``: the leaves sum to a margin in log-odds (``logistic``) or to the
  probability itself (``identity``, a forest's average);
- ``serinus.io/linear/v1``: an intercept and one term a feature.

A pickled estimator would run code of whoever wrote it; these are numbers, and every
one is checked before it is believed.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import fields
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.errors import SerinusError
from serinus.model.trees import Trees

Floats = NDArray[np.float64]
Link = Literal["logistic", "identity"]
TREES, LINEAR = "serinus.io/trees/v1", "serinus.io/linear/v1"
_TYPES = {
    "start": "<i8",
    "feature": "<i4",
    "threshold": "<f8",
    "flags": "|u1",
    "left": "<i4",
    "right": "<i4",
    "value": "<f8",
    "cover": "<f8",
    "set_start": "<i8",
    "set_words": "<u4",
}


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class PortableTrees(_Strict, frozen=True, kw_only=True):
    """An ensemble of trees. ``algorithm`` is for people: what fitted it."""

    format: Literal["serinus.io/trees/v1"] = TREES
    algorithm: str
    link: Link
    features: int
    arrays: dict[str, str]

    def trees(self) -> Trees:
        """The arrays. Raises ValueError unless they are trees."""
        if set(self.arrays) != set(_TYPES):
            raise ValueError(f"its arrays are {sorted(self.arrays)}")
        found: dict[str, Any] = {}
        for name, kind in _TYPES.items():
            try:
                raw = base64.b64decode(self.arrays[name], validate=True)
            except binascii.Error as error:
                raise ValueError(f"{name} is not base64") from error
            found[name] = np.frombuffer(raw, dtype=kind).astype(np.dtype(kind).newbyteorder("="))
        if found["start"].size < 1 or found["set_start"].size < 1:
            raise ValueError("an array of beginnings is empty")
        nodes = {
            found[name].size for name in ("feature", "threshold", "flags", "left", "right", "value", "cover")
        }
        if len(nodes) != 1:
            raise ValueError("its arrays differ in length")
        if not np.isfinite(found["value"]).all() or not np.isfinite(found["cover"]).all():
            raise ValueError("a leaf's value or a cover is not finite")
        trees = Trees(features=self.features, **found)
        trees.check()
        return trees


class Term(_Strict, frozen=True, kw_only=True):
    """What one feature adds to the margin, less its mean: a ``weight`` times a number, or
    the entry of its level in ``levels``. Missing and unknown values add the mean, hence nothing to explain."""

    weight: float = 0.0
    levels: tuple[float, ...] = ()
    mean: float = 0.0
    """Of the number, or of the levels' entries, over the training rows."""


class PortableLinear(_Strict, frozen=True, kw_only=True):
    """A logistic regression: ``intercept`` plus one term a feature is the margin in log-odds."""

    format: Literal["serinus.io/linear/v1"] = LINEAR
    algorithm: str = "logistic_regression"
    intercept: float
    terms: tuple[Term, ...]


class _Format(msgspec.Struct):
    format: str


def is_portable(text: str) -> bool:
    """Whether a model's text is in one of these formats rather than LightGBM's."""
    return text.lstrip()[:1] == "{"


def write_trees(trees: Trees, *, algorithm: str, link: Link) -> str:
    """The text of an ensemble of trees; the same trees always give the same text."""
    arrays = {
        field.name: base64.b64encode(
            np.ascontiguousarray(getattr(trees, field.name)).astype(_TYPES[field.name]).tobytes()
        ).decode()
        for field in fields(trees)
        if field.name != "features"
    }
    model = PortableTrees(algorithm=algorithm, link=link, features=trees.features, arrays=arrays)
    return msgspec.json.encode(model, order="sorted").decode()


def write_linear(model: PortableLinear) -> str:
    """The text of a linear model."""
    return msgspec.json.encode(model, order="sorted").decode()


def parse_portable(text: str, *, where: str) -> PortableTrees | PortableLinear:
    """The model in ``text``, not yet believed to be trees.

    Raises:
        SerinusError: ``SRN-MODEL-003`` if it is in none of the formats.
    """
    try:
        kind = msgspec.json.decode(text, type=_Format).format
        if kind == TREES:
            return msgspec.json.decode(text, type=PortableTrees)
        if kind == LINEAR:
            return msgspec.json.decode(text, type=PortableLinear)
        raise ValueError(f"its format is {kind!r}")
    except (msgspec.DecodeError, ValueError) as error:
        raise damaged(str(error), where) from error


def damaged(what: str, where: str) -> SerinusError:
    """The error for a model that is not one."""
    return SerinusError(
        "SRN-MODEL-003",
        f"the model is not a sound one in serinus's own format ({what})",
        where=where,
        hint="The bundle was not written by serinus or is damaged; build it again.",
    )
