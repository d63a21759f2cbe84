"""A bundle is what it was when written, or it is refused."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from serinus.bundle import Keyring, SigningKey, open_bundle, write_bundle
from serinus.bundle.reference import build_reference
from serinus.errors import SerinusError
from serinus.watching.online import OnlinePlan, calibrate
from tests.support.bundles import small_bundle, small_contract, small_home, small_parts


def _edit(path: Path) -> None:
    (path / "model.txt").write_text((path / "model.txt").read_text() + " ")


def _remove(path: Path) -> None:
    (path / "levels.json").unlink()


def _add(path: Path) -> None:
    (path / "extra.py").write_text("print('never run')")


def _unsign(path: Path) -> None:
    (path / "signature.json").unlink()


def _forge(path: Path) -> None:
    """Change a file and write a manifest that fits it: only the signature can tell."""
    from serinus.bundle.manifest import MANIFEST, Manifest, file_entry

    _edit(path)
    names = [p.name for p in path.iterdir() if p.name not in (MANIFEST, "signature.json")]
    manifest = Manifest(name="small", version=1, files={n: file_entry(path / n) for n in names})
    (path / MANIFEST).write_bytes(manifest.canonical())


@pytest.mark.parametrize(
    ("harm", "code", "says"),
    [
        (_edit, "SRN-BUNDLE-003", "model.txt was changed"),
        (_remove, "SRN-BUNDLE-003", "levels.json is missing"),
        (_add, "SRN-BUNDLE-003", "extra.py does not belong"),
        (_unsign, "SRN-BUNDLE-004", "no readable signature"),
        (_forge, "SRN-BUNDLE-006", "does not fit"),
        (lambda p: (p / "manifest.json").write_text("{}"), "SRN-BUNDLE-002", "cannot be read"),
        (lambda p: (p / "manifest.json").unlink(), "SRN-BUNDLE-001", "no bundle here"),
    ],
)
def test_an_altered_bundle_is_refused(
    tmp_path: Path, harm: Callable[[Path], object], code: str, says: str
) -> None:
    bundle = small_bundle(tmp_path)
    harm(bundle.path)
    with pytest.raises(SerinusError) as caught:
        open_bundle(bundle.path, trusted=Keyring.load(small_home(tmp_path).keys))
    assert caught.value.code == code
    assert says in caught.value.what


def test_an_untouched_bundle_opens(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path)
    opened = open_bundle(bundle.path, trusted=Keyring.load(small_home(tmp_path).keys))
    assert opened.digest == bundle.digest
    assert opened.contract == small_contract()


def test_a_signature_of_someone_else_is_not_trusted(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path)
    SigningKey.load_or_create(tmp_path / "other")
    with pytest.raises(SerinusError, match="SRN-BUNDLE-005"):
        open_bundle(bundle.path, trusted=Keyring.load(tmp_path / "other"))


def test_an_empty_keyring_trusts_nobody(tmp_path: Path) -> None:
    with pytest.raises(SerinusError, match="SRN-BUNDLE-005"):
        open_bundle(small_bundle(tmp_path).path, trusted=Keyring({}))


def test_the_signing_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    SigningKey.load_or_create(tmp_path)
    assert (tmp_path / "signing.pem").stat().st_mode & 0o077 == 0


def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "signing.pem").write_text("not a key")
    with pytest.raises(SerinusError, match="SRN-KEY-001"):
        SigningKey.load_or_create(tmp_path)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from serinus.bundle import BundleParts

    source = small_bundle(tmp_path)
    parts = BundleParts(
        name="small", version=2, contract=source.contract, model_text=source.model_text, levels=source.levels,
        calibrator=source.calibrator, reference=source.reference, reference_rows=source.reference_rows,
        reference_scores=source.reference_scores, golden_rows=source.golden_rows,
        golden_scores=source.golden_scores,
    )  # fmt: skip
    real, calls = os.fsync, {"left": 4}

    def full(descriptor: int) -> None:
        calls["left"] -= 1
        if calls["left"] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    key = SigningKey.load_or_create(small_home(tmp_path).keys)
    place = tmp_path / "elsewhere"
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SerinusError, match="SRN-HOME-001.*disk is full"):
        write_bundle(place, parts, key)
    assert list(place.iterdir()) == []
    monkeypatch.setattr(os, "fsync", real)
    written = write_bundle(place, parts, key)
    again = write_bundle(place, dataclasses.replace(parts), key)
    assert written.digest == again.digest
    assert len(list(place.iterdir())) == 1


def test_the_reference_counts_every_value_once() -> None:
    rows = np.array([[0.0, 1, 0, np.nan, 0.1], [0.0, 2, 1, 3.0, 0.2], [5.0, 3, np.nan, 4.0, 0.3]])
    reference = build_reference(small_contract(), {"channel": ("chip", "online", "swipe")}, rows, rows[:, 4])
    for name, histogram in reference.features.items():
        assert sum(histogram.counts) + histogram.missing == 3, name
    assert reference.features["channel"].counts == (1, 1, 0)
    assert reference.features["channel"].missing == 1
    assert reference.features["days_since_last"].missing == 1


def test_thresholds_of_the_online_tests_come_back_to_the_bit_and_an_older_bundle_has_none(
    tmp_path: Path,
) -> None:
    parts, key = small_parts(), SigningKey.load_or_create(small_home(tmp_path).keys)
    plan = OnlinePlan(windows=(5, 20), ert=100, streams=1000)
    online = calibrate(parts.contract, parts.levels, parts.reference_rows, parts.reference_scores, plan)
    assert open_bundle(write_bundle(tmp_path, parts, key).path, trusted=None).online is None
    with_them = write_bundle(tmp_path, dataclasses.replace(parts, version=2, online=online), key)
    assert open_bundle(with_them.path, trusted=None).online == online
