"""The models, trained once from a seed and kept as files that every server reads.

The forest is bounded as a fraud team would bound it, so that a leaf is evidence and the file fits in memory:
depth 10, at least 20 rows in a leaf.
"""

from __future__ import annotations

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

from . import entity
from .data import SEED, Floats, contract, outcomes, rows

TREES, DEPTH = 300, 6
FOREST_TREES, FOREST_DEPTH, FOREST_LEAF = 200, 10, 20
TRAINING, REQUESTS = 60_000, 20_000


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

    @property
    def home(self) -> Home:
        """Keys, and the signed bundles."""
        return Home(self.root / "home")

    def bundle(self, model: str) -> Path | None:
        """The signed bundle of a model, or None where serinus has no bundles of that kind."""
        named = self.root / model / "bundle.txt"
        return Path(named.read_text()) if named.exists() else None


def prepare(root: Path) -> Files:
    """Train what is not there yet (half a minute), and write the bundles anew: their format may have moved on."""
    files = Files(root)
    requests = rows(REQUESTS, SEED + 1)
    if len(np.unique(requests, axis=0)) != REQUESTS:
        raise AssertionError("the requests' rows are not distinct")
    root.mkdir(parents=True, exist_ok=True)
    np.save(files.rows, requests)
    for model, train in (("lightgbm", _lightgbm), ("sklearn", _forest)):
        if not files.scores(model).exists():
            (root / model).mkdir(exist_ok=True)
            np.save(files.scores(model), train(files, requests))
    entity.prepare(root / "entity", TREES, DEPTH)
    _bundle_lightgbm(files)
    _bundle_entity(files)
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
    return np.asarray(booster.predict(requests, num_threads=1), dtype=np.float64)


def _forest(files: Files, requests: Floats) -> Floats:
    x, y, fitted = _training()
    forest: Any = RandomForestClassifier(
        FOREST_TREES, max_depth=FOREST_DEPTH, min_samples_leaf=FOREST_LEAF, random_state=SEED, n_jobs=1
    )
    forest.fit(x[fitted], y[fitted])
    joblib.dump(forest, files.forest)
    return forest.predict_proba(requests)[:, 1]


def _bundle_lightgbm(files: Files) -> None:
    x, y, fitted = _training()
    x, y = x[~fitted][:4000], y[~fitted][:4000]
    calibrated = _calibrated(files.booster, x, y)
    review, decline = (float(q) for q in np.quantile(calibrated[1], [0.95, 0.98]))
    _bundle(files, "lightgbm", contract("bench-lightgbm", review, decline), x, *calibrated)


def _bundle_entity(files: Files) -> None:
    folder = files.root / "entity"
    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    _bundle(files, "entity", entity.contract(), x, *_calibrated(folder / "model.bst", x, y))


def _calibrated(booster_path: Path, x: Floats, y: Floats) -> tuple[Any, Floats, Calibrator]:
    booster: Any = lightgbm.Booster(model_file=str(booster_path))
    raw = np.asarray(booster.predict(x, num_threads=1), dtype=np.float64)
    calibrator = fit_isotonic(raw, y)
    return booster, calibrator.apply(raw), calibrator


def _training() -> tuple[Floats, Floats, Any]:
    x = rows(TRAINING)
    return x, outcomes(x), np.arange(TRAINING) < TRAINING * 0.8


def _bundle(
    files: Files, model: str, spec: Contract, x: Floats, booster: Any, scores: Floats, calibrator: Calibrator
) -> None:
    """A signed bundle of a booster, and where it is."""
    parts = BundleParts(
        name=spec.name,
        version=1,
        contract=spec,
        model_text=booster.model_to_string(),
        levels={},
        calibrator=calibrator,
        reference=build_reference(spec, {}, x, scores),
        reference_rows=x[:2000],
        reference_scores=scores[:2000],
        golden_rows=x[:16],
        golden_scores=scores[:16],
        golden_contributions=np.asarray(booster.predict(x[:16], pred_contrib=True, num_threads=1)),
        provenance={"seed": SEED},
    )
    bundle = write_bundle(files.home.bundles, parts, SigningKey.load_or_create(files.home.keys))
    (files.root / model / "bundle.txt").write_text(str(bundle.path))
