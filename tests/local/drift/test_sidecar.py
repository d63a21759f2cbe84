"""The real drift monitor, with the real Alibi Detect."""

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serinus.bundle import Bundle, SigningKey, write_bundle
from serinus.watching.online import calibrate
from tests.local.drift.support import ROOT, Logger, Program, until
from tests.support.bundles import small_bundle, small_home, small_parts, small_records

pytestmark = pytest.mark.local

FLAGS = ("--window", "500", "--look", "200ms", "--max-age", "1m")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sidecar")


@pytest.fixture(scope="module")
def bundle(home: Path) -> Bundle:
    return small_bundle(home)


@pytest.fixture(scope="module")
def sidecar(home: Path, bundle: Bundle) -> Iterator[Program]:
    flags = ("--bundle", str(bundle.path), "--home", str(small_home(home).root), *FLAGS)
    with Program("serving.drift", *flags, log=home / "drift.log") as program:
        yield program


def judged(sidecar: Program, predictor: str, rows: int) -> dict[str, Any]:
    """The verdict after so many rows of the predictor were judged."""
    return until(
        lambda: (
            status["predictors"][predictor]
            if (status := sidecar.status())["rows"].get(predictor, 0) >= rows
            else None
        )
    )


def send(sidecar: Program, predictor: str, rows: list[dict[str, Any]]) -> None:
    logger = Logger(sidecar, predictor)
    for i in range(0, len(rows), 50):
        assert logger.request(rows[i : i + 50]) == 202


def test_six_thousand_clean_rows_are_silent_and_scores_too(sidecar: Program, bundle: Bundle) -> None:
    random, logger = np.random.default_rng(1), Logger(sidecar, "clean")
    for i in range(12):
        logger.response(random.choice(bundle.reference_scores, 500).tolist(), bundle.digest)
        send(sidecar, "clean", small_records(500, seed=2000 + i))
    verdict = judged(sidecar, "clean", 6000)
    assert (verdict["feature_status"], verdict["score_status"], verdict["retrain"]) == (
        "stable",
        "stable",
        False,
    )
    windows = sidecar.status()["windows"]
    assert [windows[f"clean/{kind}"] for kind in ("feature", "score", "data_quality")] == [0, 0, 0]


def test_an_inflated_amount_fires(sidecar: Program) -> None:
    send(sidecar, "inflated", [{**row, "amount": row["amount"] * 2} for row in small_records(1000, seed=31)])
    verdict = judged(sidecar, "inflated", 1000)
    assert (verdict["drifted"], verdict["retrain"]) == (["amount"], True)
    metrics = sidecar.get("/prometheus")
    assert 'serinus_drift_active{kind="feature",model="small",predictor="inflated"} 1.0' in metrics
    assert 'drift_events_total{kind="feature",model="small",predictor="inflated"} 1.0' in metrics


def test_alibi_detect_gives_its_opinion_of_the_window(sidecar: Program) -> None:
    send(sidecar, "second", [{**row, "amount": row["amount"] * 2} for row in small_records(1000, seed=36)])

    def tested() -> dict[str, float] | None:
        seen = sidecar.status()["predictors"].get("second")
        return (
            {c["name"]: c["test"]["p_value"] for c in seen["verdict"]["features"] if c["test"]}
            if seen
            else None
        )

    p_values = until(lambda: tested() or None)
    assert p_values["amount"] < 1e-9
    assert p_values["channel"] > 1e-6


def test_a_shift_behind_one_percent_of_missing_values_fires(sidecar: Program) -> None:
    rows = small_records(1000, seed=32)
    for i, row in enumerate(rows):
        row["days_since_last"] = None if i % 100 == 0 else (row["days_since_last"] or 0.0) + 60.0
    send(sidecar, "holey", rows)
    verdict = judged(sidecar, "holey", 1000)
    assert verdict["drifted"] == ["days_since_last"]


def test_another_mix_of_levels_fires(sidecar: Program) -> None:
    rows = [
        {**row, "channel": "swipe" if i % 2 else row["channel"]}
        for i, row in enumerate(small_records(1000, seed=33))
    ]
    send(sidecar, "swiped", rows)
    assert judged(sidecar, "swiped", 1000)["drifted"] == ["channel"]


def test_a_surge_of_missing_values_is_bad_data_alone(sidecar: Program) -> None:
    rows = small_records(1000, seed=34)
    for i, row in enumerate(rows):
        row["days_since_last"] = None if i % 2 else row["days_since_last"]
    send(sidecar, "surge", rows)
    verdict = judged(sidecar, "surge", 1000)
    assert (verdict["verdict"]["quality"], verdict["feature_status"], verdict["retrain"]) == (
        "bad",
        "stable",
        False,
    )


def test_garbage_is_counted_and_the_monitor_lives(sidecar: Program) -> None:
    logger = Logger(sidecar, "garbage")
    assert logger.send("io.seldon.serving.inference.request", ["not", "a", "request"]) == 202
    until(lambda: sidecar.status()["payloads"].get("garbage/malformed"))
    assert sidecar.get("/health/ready")


def test_a_restart_goes_on_where_it_stood_and_sigterm_is_a_clean_exit(home: Path, bundle: Bundle) -> None:
    flags = ("--bundle", str(bundle.path), "--home", str(small_home(home).root), *FLAGS)
    flags += ("--state", str(home / "state"))
    rows = [{**row, "amount": row["amount"] * 2} for row in small_records(1000, seed=35)]
    with Program("serving.drift", *flags, log=home / "again.log") as program:
        send(program, "champion", rows)
        before = judged(program, "champion", 1000)
        assert program.stop() == 0
    with Program("serving.drift", *flags, log=home / "again.log") as program:
        after = program.status()["predictors"]["champion"]
        assert program.stop() == 0
    assert before["drifted"] == after["drifted"] == ["amount"]
    evidence = [column["evidence_log10"] for column in before["verdict"]["features"]]
    assert evidence == [column["evidence_log10"] for column in after["verdict"]["features"]]
    assert (home / "state" / "small" / "champion.json").exists()


def test_score_and_decision_are_watched_row_by_row_with_the_bundles_thresholds_over_a_restart(
    home: Path,
) -> None:
    parts = small_parts(version=2)
    online = calibrate(parts.contract, parts.levels, parts.reference_rows, parts.reference_scores)
    key = SigningKey.load_or_create(small_home(home).keys)
    bundle = write_bundle(home, dataclasses.replace(parts, online=online), key)
    flags = ("--bundle", str(bundle.path), "--home", str(small_home(home).root), *FLAGS)
    flags += ("--state", str(home / "online"), "--max-age", "1h")
    scores = np.random.default_rng(1).choice(bundle.reference_scores, 300).tolist()

    def watched(program: Program, rows: int) -> dict[str, Any] | None:
        seen = program.status()["predictors"].get("champion", {"online": ()})["online"]
        found = {f"{o['name']}/{o['test']}": o for o in seen}
        return found if found and all(o["rows"] == rows for o in found.values()) else None

    found: list[dict[str, Any]] = []
    for k in (1, 2):
        with Program("serving.drift", *flags, log=home / "online.log") as program:
            Logger(program, "champion").response(scores, bundle.digest)
            send(program, "champion", small_records(500, seed=36 + k))
            found.append(until(lambda k=k: watched(program, 300 * k)))
            assert "serinus_drift_online_crossings_total" in program.get("/metrics")
            assert program.stop() == 0
    first, second = found
    assert set(first) == {"model score/cvm", "model decision/fet_more", "model decision/fet_fewer"}
    assert {name: o["threshold"] for name, o in first.items()} == {
        name: o["threshold"] for name, o in second.items()
    }
    assert first["model score/cvm"]["threshold"] == online.cvm[-1]
    assert not any(o["crossed"] for o in (*first.values(), *second.values()))


def test_a_port_in_use_is_an_error_with_its_code(sidecar: Program, bundle: Bundle) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serving.drift", "--bundle", str(bundle.path), "--port", str(sidecar.port)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 2
    assert f"SRN-DRIFT-001 127.0.0.1:{sidecar.port}" in done.stderr
    assert done.stdout == ""
