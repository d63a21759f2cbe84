"""``serinus explain REQUEST_ID``: what it prints, and its exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from serinus.bundle import Bundle
from serinus.cli import main
from serinus.events import Decision, DecisionEvent, DecisionLog
from serinus.registry import Registry
from serinus.scoring import Scorer
from tests.support.bundles import small_bundle, small_home, small_records


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A registered and approved bundle, and a log with one honest decision, one batch and one forged one."""
    bundle = small_bundle(tmp_path)
    home = small_home(tmp_path)
    registry = Registry(home)
    registry.register(bundle, by="ann", owner="cards", run="run-1")
    registry.approve(bundle.name, 1, by="bob", role="validator", reason="read the report")
    with DecisionLog(home.decisions / "small-champion.jsonl") as log:
        log.extend([event(bundle, "r1"), event(bundle, "batch.0"), event(bundle, "batch.1", row=1)])
        log.extend([event(bundle, "forged", probability=0.0001)])
    return bundle


def event(bundle: Bundle, name: str, row: int = 0, **changed: float) -> DecisionEvent:
    scorer = Scorer(bundle)
    vector = scorer.vectorizer.encode(small_records(40)[row])
    answer = scorer.one(vector, "always")
    numbers = {"score": answer.score, "probability": answer.probability} | changed
    return DecisionEvent(
        id=name,
        source="/models/small/predictors/champion",
        time="2026-09-21T10:00:00.000000Z",
        data=Decision(
            model=bundle.name,
            version=bundle.version,
            digest=bundle.digest,
            predictor="champion",
            decision=answer.decision,
            reasons=answer.reasons,
            features=tuple(None if value != value else value for value in vector.tolist()),
            **numbers,
        ),
    )


def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    code = main(["explain", *arguments, "--home", str(small_home(tmp_path).root)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_decision_is_reproduced_with_who_built_and_approved_its_model(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, tmp_path, "r1")
    assert code == 0
    assert "The decision is reproduced." in out
    assert bundle.digest in out
    assert "built by ann in run run-1, owner cards" in out
    assert "approved by bob (validator)" in out
    assert "DIFFERENT" not in out


def test_a_decision_that_does_not_come_out_as_logged_is_told_and_fails(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, tmp_path, "forged")
    assert code == 1
    (row,) = [line for line in out.splitlines() if "DIFFERENT" in line and "probability" in line]
    assert "0.0001" in row
    assert "The decision is NOT reproduced" in out


def test_a_batch_is_explained_row_by_row_in_json(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, tmp_path, "batch", "--output", "json")
    found = json.loads(out)
    assert code == 0
    assert [item["request_id"] for item in found] == ["batch.0", "batch.1"]
    assert all(item["reproduced"] for item in found)
    assert found[0]["version"]["digest"] == bundle.digest


def test_a_bundle_moved_to_an_archive_is_named(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "archive"
    shutil.move(bundle.path, archive)
    code, _, error = run(capsys, tmp_path, "r1")
    assert code == 1
    assert "SRN-BUNDLE-001" in error
    code, out, _ = run(capsys, tmp_path, "r1", "--bundle", str(archive))
    assert (code, "The decision is reproduced." in out) == (0, True)


def test_an_unregistered_bundle_that_is_gone_says_what_to_fetch(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = small_home(tmp_path)
    home.registry_db.unlink()
    code, out, _ = run(capsys, tmp_path, "r1")
    assert (code, "approved by" in out) == (0, False)
    shutil.rmtree(bundle.path)
    code, _, error = run(capsys, tmp_path, "r1")
    assert code == 1
    assert f"SRN-AUDIT-006 {home.root}" in error
    assert bundle.digest in error


def test_an_altered_bundle_or_log_explains_nothing(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = bundle.path / "model.txt"
    text = model.read_text()
    model.write_text(text.replace("leaf_value=", "leaf_value=1", 1))
    code, out, error = run(capsys, tmp_path, "r1")
    assert (code, out, "SRN-BUNDLE-003" in error) == (1, "", True)
    model.write_text(text)
    log = small_home(tmp_path).decisions / "small-champion.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"amount"', b'"amounts"', 1))
    for at_or_behind in ("batch.1", "forged"):
        code, out, error = run(capsys, tmp_path, at_or_behind)
        assert (code, out, "SRN-AUDIT-003" in error) == (1, "", True)


def test_an_unknown_request_is_an_error(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capsys, tmp_path, "absent")
    assert (code, "SRN-AUDIT-005" in error) == (1, True)


@pytest.mark.parametrize(("old", "new"), [(b'"version"', b'"v9rsion"'), (b'"amount"', b'"am\xffunt"')])
def test_among_the_newest_what_is_no_decision_any_more_is_told(
    old: bytes, new: bytes, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = small_home(tmp_path)
    show = ["decisions", "show", "--last", "4", "--home", str(home.root)]
    assert main(show) == 0
    log = home.decisions / "small-champion.jsonl"
    log.write_bytes(log.read_bytes().replace(old, new, 1))
    assert main(show) == 1
    error = capsys.readouterr().err
    assert f"SRN-AUDIT-004 {log}" in error
    assert "an entry is no decision" in error
