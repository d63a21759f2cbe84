"""A scorer whose kernel does not explain as the library did falls back to it, and says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serinus import scoring
from serinus.bundle import Bundle, SigningKey, write_bundle
from serinus.errors import SerinusError
from serinus.model.ensemble import NativeEnsemble
from serinus.scoring import Scorer
from tests.support.bundles import small_bundle, small_home, small_parts

pytest.importorskip("serinus.model._native")


def scorer(bundle: Bundle) -> tuple[Scorer, list[str]]:
    warnings: list[str] = []
    return Scorer(bundle, warn=lambda warning: warnings.append(str(warning))), warnings


def test_the_kernel_serves_and_is_silent_where_it_agrees(tmp_path: Path) -> None:
    made, warnings = scorer(small_bundle(tmp_path))
    made.self_test()
    assert (made.backend, warnings) == ("native", [])


@pytest.mark.parametrize(
    ("method", "says"), [("contributions", "explained differently"), ("probability", "score differently")]
)
def test_a_kernel_that_answers_otherwise_is_put_aside_loudly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, says: str
) -> None:
    bundle = small_bundle(tmp_path)
    right = getattr(NativeEnsemble, method)
    monkeypatch.setattr(NativeEnsemble, method, lambda self, rows: right(self, rows) + 2e-6)
    made, warnings = scorer(bundle)
    made.self_test()
    assert made.backend == "library"
    assert len(warnings) == 1
    assert "SRN-MODEL-004" in warnings[0]
    assert says in warnings[0]
    expected = bundle.golden_contributions
    assert expected is not None
    assert made.one(bundle.golden_rows[0], "always") == made.score(bundle.golden_rows[:1], "always")[0]
    np.testing.assert_allclose(made.contributions(bundle.golden_rows), expected, atol=1e-12)


def test_a_library_that_explains_otherwise_is_refused(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path)
    assert bundle.golden_contributions is not None
    bundle.__dict__["golden_contributions"] = bundle.golden_contributions + 2e-6
    made, warnings = scorer(bundle)
    with pytest.raises(SerinusError, match="SRN-SCORE-003"):
        made.self_test()
    assert warnings == []


@pytest.mark.parametrize("installed", [True, False])
def test_a_bundle_without_recorded_contributions_is_held_to_the_library_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    home = small_home(tmp_path)
    parts = replace(small_parts(), golden_contributions=None)
    bundle = write_bundle(home.bundles, parts, SigningKey.load_or_create(home.keys))
    assert bundle.golden_contributions is None
    if not installed:
        monkeypatch.setattr(scoring, "find_spec", lambda name: None)
    right = NativeEnsemble.contributions
    monkeypatch.setattr(NativeEnsemble, "contributions", lambda self, rows: right(self, rows) + 2e-6)
    made, warnings = scorer(bundle)
    made.self_test()
    assert (made.backend, len(warnings)) == (("library", 1) if installed else ("native", 0))


def test_without_a_callback_a_warning_is_a_json_line_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("serinus.model.ensemble._native", None)
    assert Scorer(small_bundle(tmp_path)).backend == "library"
    assert capsys.readouterr().err.startswith('{"level":"warning","code":"SRN-MODEL-004"')


def test_a_scorer_does_not_import_lightgbm(tmp_path: Path) -> None:
    import subprocess
    import sys

    bundle = small_bundle(tmp_path)
    code = (
        "import sys; from serinus.bundle import open_bundle; from serinus.scoring import Scorer\n"
        f"scorer = Scorer(open_bundle({str(bundle.path)!r}, trusted=None)); scorer.self_test()\n"
        "scorer.score(scorer.bundle.golden_rows, 'always')\n"
        "sys.exit('lightgbm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path.cwd(), check=False).returncode == 0
