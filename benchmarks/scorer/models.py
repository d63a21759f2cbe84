"""The models, trained once from a seed and kept as files that every server reads.

The forest is bounded as a fraud team would bound it, so that a leaf is evidence and the file fits in memory:
depth 10, at least 20 rows in a leaf.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from serinus.bundle import BundleParts, SigningKey, build_reference, write_bundle
from serinus.contract import Contract
from serinus.home import Home
from serinus.model import Calibrator, fit_isotonic
from serinus.model.export import export

from . import entity
from .data import SEED, Floats, contract, outcomes, rows

TREES, DEPTH = 300, 6
FOREST_TREES, FOREST_DEPTH, FOREST_LEAF = 200, 10, 20
TRAINING, REQUESTS = 60_000, 20_000
GOLDEN, SAMPLE = 16, 48  # rows whose explanation is known: a bundle's, and of the requests


@dataclass(frozen=True)
class Files:
    """What the servers read, below one directory."""

    root: Path

    @property
    def booster(self) -> Path:
        """LightGBM's text format."""
        return self.root / "lightgbm" / "model.bst"

    @property
    def forest(self) -> Path:
        """The scikit-learn estimator, by joblib."""
        return self.root / "sklearn" / "model.joblib"

    @property
    def rows(self) -> Path:
        """(20000, 30) distinct rows that requests are made of."""
        return self.root / "rows.npy"

    def scores(self, model: str) -> Path:
        """(20000,) what the bare library makes of them."""
        return self.root / model / "scores.npy"

    def contributions(self, model: str) -> Path:
        """(SAMPLE, 31) how the library (LightGBM, shap for the forest) explains the first of them, base last."""
        return self.root / model / "contributions.npy"

    @property
    def home(self) -> Home:
        """Keys, and the signed bundles."""
        return Home(self.root / "home")

    def bundle(self, model: str) -> Path | None:
        """The signed bundle of a model, or None where serinus has no bundles of that kind."""
        named = self.root / model / "bundle.txt"
        return Path(named.read_text()) if named.exists() else None


def prepare(root: Path, models: Collection[str] = ("lightgbm", "entity", "sklearn")) -> Files:
    """Train what is not there yet (half a minute), and write the bundles anew: their format may have moved on."""
    files = Files(root)
    requests = rows(REQUESTS, SEED + 1)
    if len(np.unique(requests, axis=0)) != REQUESTS:
        raise AssertionError("the requests' rows are not distinct")
    root.mkdir(parents=True, exist_ok=True)
    np.save(files.rows, requests)
    for model, train in (("lightgbm", _lightgbm), ("sklearn", _forest)):
        known = files.scores(model).exists() and files.contributions(model).exists()
        if model in models and not known:
            (root / model).mkdir(exist_ok=True)
            np.save(files.scores(model), train(files, requests))
    if "entity" in models:
        entity.prepare(root / "entity", TREES, DEPTH)
    bundles = {"lightgbm": _bundle_lightgbm, "entity": _bundle_entity, "sklearn": _bundle_forest}
    for model in models:
        bundles[model](files)
    return files


def _lightgbm(files: Files, requests: Floats) -> Floats:
    x, y, fitted = _training()
    parameters: dict[str, Any] = {
        "objective": "binary", "num_leaves": 2**DEPTH, "max_depth": DEPTH, "learning_rate": 0.05,
        "min_data_in_leaf": 20, "seed": SEED, "deterministic": True, "num_threads": 1, "verbosity": -1,
    }  # fmt: skip
    booster: Any = lightgbm.train(parameters, lightgbm.Dataset(x[fitted], y[fitted]), num_boost_round=TREES)
    if booster.num_trees() != TREES:
        raise AssertionError(f"{booster.num_trees()} trees, not {TREES}")
    booster.save_model(str(files.booster))
    # The file is what everyone reads: its numbers, not those of the object that was just trained.
    booster = lightgbm.Booster(model_file=str(files.booster))
    explained = booster.predict(requests[:SAMPLE], pred_contrib=True, num_threads=1)
    np.save(files.contributions("lightgbm"), np.asarray(explained))
    return np.asarray(booster.predict(requests, num_threads=1), dtype=np.float64)


def _forest(files: Files, requests: Floats) -> Floats:
    x, y, fitted = _training()
    forest: Any = RandomForestClassifier(
        FOREST_TREES, max_depth=FOREST_DEPTH, min_samples_leaf=FOREST_LEAF, random_state=SEED, n_jobs=1
    )
    forest.fit(x[fitted], y[fitted])
    joblib.dump(forest, files.forest)
    np.save(files.contributions("sklearn"), _shap(forest, requests[:SAMPLE]))
    return forest.predict_proba(requests)[:, 1]


def _bundle_lightgbm(files: Files) -> None:
    x, y, fitted = _training()
    x, y = x[~fitted][:4000], y[~fitted][:4000]
    text, scores, calibrator = _calibrated(files.booster, x, y)
    spec = contract("bench-lightgbm", *_thresholds(scores))
    _bundle(files, "lightgbm", spec, x, _explained(files.booster, x), text, scores, calibrator)


def _bundle_entity(files: Files) -> None:
    folder = files.root / "entity"
    x, y, booster = np.load(folder / "x.npy"), np.load(folder / "y.npy"), folder / "model.bst"
    _bundle(files, "entity", entity.contract(), x, _explained(booster, x), *_calibrated(booster, x, y))


def _bundle_forest(files: Files) -> None:
    """The very estimator that the peers load, in our text of numbers."""
    x, y, fitted = _training()
    x, y = x[~fitted][:4000], y[~fitted][:4000]
    forest: Any = joblib.load(files.forest)
    raw: Floats = forest.predict_proba(x)[:, 1]
    calibrator = fit_isotonic(raw, y)
    scores = calibrator.apply(raw)
    spec = contract("bench-sklearn", *_thresholds(scores))
    _bundle(files, "sklearn", spec, x, _shap(forest, x[:GOLDEN]), export(forest), scores, calibrator)


def _thresholds(scores: Floats) -> tuple[float, float]:
    """Decline 2 % of the rows, refer another 3 % to a person."""
    review, decline = np.quantile(scores, [0.95, 0.98])
    return float(review), float(decline)


def _shap(forest: Any, x: Floats) -> Floats:
    import shap

    explainer: Any = shap.TreeExplainer(forest)
    values = np.asarray(explainer.shap_values(x))[:, :, 1]
    return np.column_stack([values, np.full(len(x), explainer.expected_value[1])])


def _explained(booster_path: Path, x: Floats) -> Floats:
    booster: Any = lightgbm.Booster(model_file=str(booster_path))
    return np.asarray(booster.predict(x[:GOLDEN], pred_contrib=True, num_threads=1))


def _calibrated(booster_path: Path, x: Floats, y: Floats) -> tuple[str, Floats, Calibrator]:
    booster: Any = lightgbm.Booster(model_file=str(booster_path))
    raw = np.asarray(booster.predict(x, num_threads=1), dtype=np.float64)
    calibrator = fit_isotonic(raw, y)
    return booster_path.read_text(), calibrator.apply(raw), calibrator


def _training() -> tuple[Floats, Floats, Any]:
    x = rows(TRAINING)
    return x, outcomes(x), np.arange(TRAINING) < TRAINING * 0.8


def _bundle(
    files: Files, model: str, spec: Contract, x: Floats, explained: Floats, text: str, scores: Floats,
    calibrator: Calibrator,
) -> None:  # fmt: skip
    """A signed bundle, and where it is."""
    parts = BundleParts(
        name=spec.name,
        version=1,
        contract=spec,
        model_text=text,
        levels={},
        calibrator=calibrator,
        reference=build_reference(spec, {}, x, scores),
        reference_rows=x[:2000],
        reference_scores=scores[:2000],
        golden_rows=x[:GOLDEN],
        golden_scores=scores[:GOLDEN],
        golden_contributions=explained,
        provenance={"seed": SEED},
    )
    bundle = write_bundle(files.home.bundles, parts, SigningKey.load_or_create(files.home.keys))
    (files.root / model / "bundle.txt").write_text(str(bundle.path))
