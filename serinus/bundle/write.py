"""Writing a bundle: whole, hashed, signed, or not at all."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from serinus.bundle.keys import SigningKey
from serinus.bundle.manifest import MANIFEST, SIGNATURE, Manifest, file_entry
from serinus.bundle.read import Bundle, open_bundle
from serinus.bundle.reference import Reference
from serinus.contract import Contract
from serinus.home import atomic_write, fsync_directory
from serinus.model.calibration import Calibrator
from serinus.model.levels import Levels
from serinus.model.portable import PortableLinear, is_portable, parse_portable
from serinus.watching.online import Calibration

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BundleParts:
    """What goes into a bundle.

    ``reference_rows`` (n, F) are encoded vectors that the model was not fitted on,
    the latest there are, ``reference_scores`` (n,) their calibrated scores;
    ``golden_rows`` (g, F) and ``golden_scores`` (g,), calibrated, are what every
    scorer must reproduce, and ``golden_contributions`` (g, F + 1) how the library itself
    explains them, in log-odds, the base value last. ``online`` holds the thresholds of the tests
    that watch rows one by one.
    """

    name: str
    version: int
    contract: Contract
    model_text: str
    levels: Levels
    calibrator: Calibrator
    reference: Reference
    reference_rows: Floats
    reference_scores: Floats
    golden_rows: Floats
    golden_scores: Floats
    golden_contributions: Floats | None = None
    online: Calibration | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    card_html: str = ""
    report_html: str = ""


def directory_name(name: str, version: int, digest: str) -> str:
    """The directory of a bundle: readable, and one for each digest."""
    return f"{name}-{version}-{digest.removeprefix('sha256:')[:16]}"


def write_bundle(parent: Path, parts: BundleParts, key: SigningKey) -> Bundle:
    """Write, sign and reopen a bundle below ``parent``, in a directory named by its digest.

    The directory appears under its name only when every byte of it is on the
    disk; a crash before leaves a dot-directory that no reader looks at. Writing
    the same parts again finds the same bundle.

    Raises:
        SerinusError: as ``atomic_write`` (full disk, no permission), after
            which nothing of the bundle is left.
    """
    parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=parent, prefix=".writing-"))
    try:
        for name, content in _files(parts).items():
            atomic_write(temporary / name, content)
        manifest = Manifest(
            name=parts.name,
            version=parts.version,
            model_kind=_kind(parts.model_text),
            files={path.name: file_entry(path) for path in sorted(temporary.iterdir())},
        )
        digest = manifest.digest()
        atomic_write(temporary / MANIFEST, manifest.canonical())
        atomic_write(temporary / SIGNATURE, msgspec.json.encode(key.sign(digest)))
        fsync_directory(temporary)
        target = parent / directory_name(parts.name, parts.version, digest)
        os.chmod(temporary, 0o755)
        if not target.exists():
            os.rename(temporary, target)
            fsync_directory(parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return open_bundle(target, trusted=None)


def _kind(text: str) -> Literal["lightgbm", "trees", "linear"]:
    if not is_portable(text):
        return "lightgbm"
    return "linear" if isinstance(parse_portable(text, where="model.txt"), PortableLinear) else "trees"


def _files(parts: BundleParts) -> dict[str, bytes | str]:
    explained = parts.golden_contributions
    return {
        "model.txt": parts.model_text,
        "contract.json": _json(parts.contract),
        "levels.json": _json(parts.levels),
        "calibrator.json": _json(parts.calibrator),
        "reference.json": _json(parts.reference),
        "reference_rows.npy": _npy(parts.reference_rows),
        "reference_scores.npy": _npy(parts.reference_scores),
        "golden_rows.npy": _npy(parts.golden_rows),
        "golden_scores.npy": _npy(parts.golden_scores),
        **({} if explained is None else {"golden_contributions.npy": _npy(explained)}),
        **({} if parts.online is None else {"online.json": _json(parts.online)}),
        "metrics.json": _json(parts.metrics),
        "validation.json": _json(parts.validation),
        "provenance.json": _json(parts.provenance),
        "card.json": _json(parts.card),
        "card.html": parts.card_html,
        **({"report.html": parts.report_html} if parts.report_html else {}),
    }


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=1)


def _npy(array: Floats) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, dtype=np.float64), allow_pickle=False)
    return buffer.getvalue()
