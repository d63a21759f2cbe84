"""The model as a port: probabilities and reasons, by the compiled kernel or by the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from serinus.errors import SerinusError
from serinus.model.booster import LibraryEnsemble
from serinus.model.lightgbm_text import TextModel, parse_lightgbm
from serinus.model.linear import LinearEnsemble
from serinus.model.plain import PlainTrees
from serinus.model.portable import PortableLinear, damaged, is_portable, parse_portable

try:
    from serinus.model import _native
except ImportError:  # not compiled: see hatch_build.py
    _native = None

Floats = NDArray[np.float64]
Backend = Literal["native", "library"]
Warn = Callable[[SerinusError], None]
BUDGET = 64 << 20
"""Bytes that a forest may take. The kernel needs about 80 a node, so it is some 800,000 nodes."""
FOREST_BUDGET = 512 << 20
"""The same for a forest of another library: grown deep, it has millions of nodes, and no library to fall back to."""


class UnsupportedError(Exception):
    """A sound model that the kernel cannot hold; the message says why."""


class Ensemble(Protocol):
    """A binary model. Rows are float64 and contiguous; NaN is missing."""

    @property
    def backend(self) -> Backend:
        """What computes: the kernel, or LightGBM itself."""
        ...

    @property
    def trees(self) -> int:
        """Number of trees."""
        ...

    def probability_of(self, row: Floats, /) -> float:
        """Raw probability of the bad outcome for one row, shape (F,)."""
        ...

    def probability(self, rows: Floats) -> Floats:
        """The same for rows (n, F), shape (n,)."""
        ...

    def contributions_of(self, row: Floats, /) -> list[float]:
        """Exact path-dependent TreeSHAP in log-odds of one row: F + 1 numbers, the base value last."""
        ...

    def contributions(self, rows: Floats) -> Floats:
        """The same for rows (n, F), shape (n, F + 1); each row sums to the margin
        (Lundberg et al. 2020, Algorithm 2; LightGBM's ``pred_contrib``)."""
        ...


class NativeEnsemble:
    """The compiled kernel over a model's trees.

    Raises:
        UnsupportedError: the kernel is not compiled; the model is more than its trees; they exceed
            ``budget`` bytes; their covers do not add up, so that nothing can be explained
            from them, or they are deeper than 512 splits or read more than 128 features on
            one path.
        ValueError: the arrays are not trees.
    """

    backend: Backend = "native"

    def __init__(self, model: TextModel, *, budget: int = BUDGET) -> None:
        if model.beyond:
            raise UnsupportedError(model.beyond)
        if _native is None:
            raise UnsupportedError("the kernel is not compiled in this installation")
        try:
            forest = _native.Forest(model.trees.features, model.trees.arrays(), model.sigmoid, budget)
        except OverflowError as error:
            raise UnsupportedError(f"it is too large for the kernel ({error})") from error
        if not forest.explains:
            raise UnsupportedError("its covers do not add up, or its trees are too deep")
        self.forest = forest
        self.trees = forest.trees
        self.probability_of = forest.probability
        self.contributions_of = forest.contribution

    def probability(self, rows: Floats) -> Floats:
        """As ``Ensemble``."""
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        out = np.empty(rows.shape[0])
        self.forest.probabilities(rows, out)
        return out

    def contributions(self, rows: Floats) -> Floats:
        """As ``Ensemble``."""
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        out = np.empty((rows.shape[0], self.forest.features + 1))
        self.forest.contributions(rows, out)
        return out


def load_ensemble(
    text: str, *, features: int, warn: Warn, where: str = "model.txt", budget: int = BUDGET
) -> Ensemble:
    """The model in LightGBM's text format or our own, in the kernel if it can hold it, else in the library.

    Args:
        features: how many the contract declares.
        warn: told why the library is used, once.
        where: named in errors.

    Raises:
        SerinusError: ``SRN-MODEL-003`` the text is damaged or not of a binary model; ``-002``
            it reads another number of features; ``-001`` LightGBM, where it is needed, cannot
            be imported or cannot read it.
    """
    if is_portable(text):
        return _load_portable(text, features=features, warn=warn, where=where, budget=budget)
    model = parse_lightgbm(text, where=where)
    _agree(model.trees.features, features, where)
    try:
        return NativeEnsemble(model, budget=budget)
    except UnsupportedError as reason:
        warn(slower(str(reason), where))
        return LibraryEnsemble(text, where=where)


def _load_portable(text: str, *, features: int, warn: Warn, where: str, budget: int) -> Ensemble:
    model = parse_portable(text, where=where)
    if isinstance(model, PortableLinear):
        _agree(len(model.terms), features, where)
        return LinearEnsemble(model, where=where)
    _agree(model.features, features, where)
    try:
        trees = model.trees()
    except ValueError as error:
        raise damaged(str(error), where) from error
    try:
        kernel = NativeEnsemble(TextModel(trees, 1.0), budget=max(budget, FOREST_BUDGET))
    except UnsupportedError as reason:
        warn(
            SerinusError(
                "SRN-MODEL-004",
                f"numpy scores and explains, many times slower than the kernel: {reason}",
                where=where,
                hint="Answers are the same; docs/scorer.md says under 'The kernel' what it can hold.",
            )
        )
        return PlainTrees(trees, model.link)
    except ValueError as error:
        raise damaged(str(error), where) from error
    return kernel if model.link == "logistic" else AveragedEnsemble(kernel)


def load_library(text: str, *, where: str = "model.txt") -> Ensemble:
    """The model without the kernel: in LightGBM itself, or in numpy where it is no LightGBM model.

    Raises:
        SerinusError: ``SRN-MODEL-003`` the text is damaged; ``-001`` LightGBM cannot read it.
    """
    if not is_portable(text):
        return LibraryEnsemble(text, where=where)
    model = parse_portable(text, where=where)
    if isinstance(model, PortableLinear):
        return LinearEnsemble(model, where=where)
    try:
        return PlainTrees(model.trees(), model.link)
    except ValueError as error:
        raise damaged(str(error), where) from error


class AveragedEnsemble:
    """A forest in the kernel: its leaves sum to the probability itself, and so do its contributions."""

    backend: Backend = "native"

    def __init__(self, kernel: NativeEnsemble) -> None:
        self._kernel = kernel
        self.trees = kernel.trees
        self.probability_of = kernel.forest.margin
        self.contributions_of = kernel.contributions_of
        self.contributions = kernel.contributions

    def probability(self, rows: Floats) -> Floats:
        """As ``Ensemble``."""
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        out = np.empty(rows.shape[0])
        self._kernel.forest.margins(rows, out)
        return out


def _agree(reads: int, declared: int, where: str) -> None:
    if reads != declared:
        raise SerinusError(
            "SRN-MODEL-002",
            f"the model reads {reads} features and the contract declares {declared}",
            where=where,
            hint="Build the bundle again from one contract; model and contract must agree.",
        )


def slower(reason: str, where: str) -> SerinusError:
    """The warning that the library answers in the kernel's place."""
    return SerinusError(
        "SRN-MODEL-004",
        f"LightGBM itself scores and explains, many times slower than the kernel: {reason}",
        where=where,
        hint="Answers are the same; docs/scorer.md says under 'The kernel' what it can hold.",
    )
