"""Opening a bundle: nothing is believed before its hash, and no hash before its signature."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.bundle.keyring import Keyring
from serinus.bundle.keys import Signature
from serinus.bundle.manifest import MANIFEST, SIGNATURE, Manifest, file_entry
from serinus.bundle.reference import Reference
from serinus.contract import Contract
from serinus.errors import SerinusError
from serinus.model.calibration import Calibrator
from serinus.model.levels import Levels
from serinus.watching.online import Calibration

T = TypeVar("T")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bundle:
    """An immutable model artefact on disk. Get one from ``open_bundle``."""

    path: Path
    manifest: Manifest
    digest: str

    @property
    def name(self) -> str:
        """The model's name."""
        return self.manifest.name

    @property
    def version(self) -> int:
        """The model's version, counted from 1."""
        return self.manifest.version

    @cached_property
    def contract(self) -> Contract:
        """The data contract that the model was built by."""
        return self._decode("contract.json", Contract)

    @cached_property
    def levels(self) -> Levels:
        """Known levels of the categorical features."""
        return self._decode("levels.json", dict[str, tuple[str, ...]])

    @cached_property
    def calibrator(self) -> Calibrator:
        """The map from raw to calibrated probability."""
        return self._decode("calibrator.json", Calibrator)

    @cached_property
    def reference(self) -> Reference:
        """Histograms of the training data and scores."""
        return self._decode("reference.json", Reference)

    @cached_property
    def model_text(self) -> str:
        """The model: LightGBM's text format, or ``serinus.model.portable``'s."""
        return (self.path / "model.txt").read_text(encoding="utf-8")

    @cached_property
    def reference_rows(self) -> Floats:
        """A sample of the training data as encoded vectors, shape (n, F)."""
        return self._array("reference_rows.npy")

    @cached_property
    def reference_scores(self) -> Floats:
        """The calibrated scores of ``reference_rows``, shape (n,)."""
        return self._array("reference_scores.npy")

    @cached_property
    def golden_rows(self) -> Floats:
        """Rows every scorer must score alike, shape (g, F)."""
        return self._array("golden_rows.npy")

    @cached_property
    def golden_scores(self) -> Floats:
        """What it must score them, calibrated, shape (g,)."""
        return self._array("golden_scores.npy")

    @cached_property
    def golden_contributions(self) -> Floats | None:
        """How LightGBM explains them, in log-odds, shape (g, F + 1), the base value last; None in
        a bundle of before version 0.2."""
        name = "golden_contributions.npy"
        return self._array(name) if name in self.manifest.files else None

    @cached_property
    def online(self) -> Calibration | None:
        """Thresholds of the tests that watch rows one by one; None in a bundle that was built
        without them."""
        name = "online.json"
        return self._decode(name, Calibration) if name in self.manifest.files else None

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Measured on the test split."""
        return self._decode("metrics.json", dict[str, Any])

    @cached_property
    def validation(self) -> dict[str, Any]:
        """The validation report: gates, fairness, explainability."""
        return self._decode("validation.json", dict[str, Any])

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Where it came from: data digest, code commit, lock digest, parameters, seed, builder."""
        return self._decode("provenance.json", dict[str, Any])

    def _decode(self, name: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode((self.path / name).read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError) as error:
            raise SerinusError(
                "SRN-BUNDLE-002",
                f"{name} cannot be read ({error})",
                where=str(self.path),
                hint="The bundle was not written by this version of serinus; build it again.",
            ) from error

    def _array(self, name: str) -> Floats:
        return np.load(self.path / name, allow_pickle=False)


def open_bundle(path: str | Path, *, trusted: Keyring | None, at: datetime | None = None) -> Bundle:
    """Open a bundle after verifying it.

    Args:
        path: the bundle's directory.
        trusted: keys whose signature is required; None checks the hashes only,
            which finds damage but not a forger.
        at: when it was registered, where that is recorded: the signer's key must have been valid then.

    Raises:
        SerinusError: ``SRN-BUNDLE-001`` there is no bundle; ``-002`` its
            manifest cannot be read; ``-003`` a file was added, removed or
            changed; ``-004`` it is unsigned; ``-005`` the signer is not trusted;
            ``-006`` the signature is wrong; ``-011`` the signer's key is retired, and signed this
            later; ``-012`` it was not valid at that time.
    """
    path = Path(path)
    if not (path / MANIFEST).is_file():
        raise SerinusError(
            "SRN-BUNDLE-001",
            "there is no bundle here (no manifest.json)",
            where=str(path),
            hint="Give a bundle's directory; `serinus registry list` shows where they lie.",
        )
    try:
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise SerinusError(
            "SRN-BUNDLE-002",
            f"manifest.json cannot be read ({error})",
            where=str(path),
            hint="The bundle is damaged or was made by another version; build it again.",
        ) from error
    bundle = Bundle(path, manifest, manifest.digest())
    _verify_files(bundle)
    if trusted is not None:
        trusted.verify(bundle.digest, _signature(path), where=str(path), at=at)
    return bundle


def _verify_files(bundle: Bundle) -> None:
    expected = bundle.manifest.files
    present = {p.name for p in bundle.path.iterdir()} - {MANIFEST, SIGNATURE}
    wrong = [f"{name} is missing" for name in sorted(set(expected) - present)]
    wrong += [f"{name} does not belong to it" for name in sorted(present - set(expected))]
    wrong += [
        f"{name} was changed"
        for name in sorted(present & set(expected))
        if file_entry(bundle.path / name) != expected[name]
    ]
    if wrong:
        raise SerinusError(
            "SRN-BUNDLE-003",
            "the bundle is not as it was written: " + ", ".join(wrong),
            where=str(bundle.path),
            hint="Do not serve it. Fetch it again from where it was registered, or build it again.",
        )


def _signature(path: Path) -> Signature:
    try:
        return msgspec.json.decode((path / SIGNATURE).read_bytes(), type=Signature)
    except (OSError, msgspec.DecodeError) as error:
        raise SerinusError(
            "SRN-BUNDLE-004",
            "the bundle carries no readable signature",
            where=str(path),
            hint="Register it through the pipeline, which signs; an unsigned bundle is not served.",
        ) from error
