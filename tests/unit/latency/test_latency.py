"""The built model timed: by its least round, on its own time, and held to what training gave."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from components.config import Challenge, ModelConfig, Retrained, Training
from components.latency.latency import latency, measure
from components.step import read_json
from components.train.train import CALIBRATOR
from serinus.bundle import open_bundle
from serinus.scoring import Scorer
from tests.unit.components.support import Run, contract, loans, ticking

QUICK = ModelConfig(
    name="loans", training=Training(rounds=20, folds=2), challenge=Challenge(retrained=Retrained(fits=0))
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("run"), contract(), loans(1500), QUICK)
    run.prepare()
    run.judge()
    run.gate()
    run.card()
    run.register(run.path("home"))
    return run


def timed(
    run: Run, config: str = "{}", clock: Callable[[], int] | None = None
) -> dict[str, dict[str, object]]:
    p = run.path
    latency(p("contract"), p("table"), p("assignment"), p("model"), config, p("timed"), clock or ticking())
    return {item["name"]: item for item in read_json(p("timed"))["items"]}


def disturbed(usual: int, disturbance: int, every: int) -> Callable[[], int]:
    """A clock on a busy machine: most looks take much longer than the work does."""
    state = {"now": 0, "looks": 0}

    def look() -> int:
        state["looks"] += 1
        state["now"] += usual + (0 if state["looks"] % every == 0 else disturbance)
        return state["now"]

    return look


def test_the_bound_is_held_against_the_least_round(made: Run) -> None:
    bound = '{"one": 10, "one_explained": 10, "rounds": 25}'
    assert timed(made, bound, ticking(10 * 64 * 1000))["one_row_us"]["verdict"] == "pass"
    slower = timed(made, bound, ticking(11 * 64 * 1000))
    assert (slower["one_row_us"]["verdict"], slower["one_row_us"]["value"]) == ("fail", 11.0)


def test_rounds_that_were_disturbed_change_nothing_as_long_as_one_was_not(made: Run) -> None:
    quiet = timed(made, "{}", ticking(64_000))["one_row_us"]["value"]
    busy = timed(made, "{}", disturbed(64_000, 10_000_000, 7))["one_row_us"]
    assert busy["value"] == quiet == 1.0
    assert "largest" in str(busy["why"])


def test_the_distribution_of_all_rounds_is_told(made: Run) -> None:
    timed(made, '{"rounds": 12}', disturbed(64_000, 640_000, 5))
    rows = {row["figure"]: row for row in read_json(made.path("timed"))["distribution"]}
    assert set(rows) == {"one_row_us", "one_row_explained_us", "batch_row_us"}
    for row in rows.values():
        assert row["least"] <= row["p50"] <= row["p90"] <= row["p99"] <= row["largest"]


def test_it_is_the_exported_bundle_in_the_serving_kernel_that_is_timed(made: Run) -> None:
    calls = {"one": 0, "always": 0, "many": 0}
    scorer = Scorer(open_bundle(read_json(made.path("version"))["bundle"], trusted=None))
    one, many = scorer.one, scorer.many

    def counted(row: np.ndarray, explain: str) -> object:
        calls["always" if explain == "always" else "one"] += 1
        return one(row, explain)  # type: ignore[arg-type]

    def batch(rows: np.ndarray, explain: str) -> object:
        calls["many"] += 1
        return many(rows, explain)  # type: ignore[arg-type]

    scorer.one, scorer.many = counted, batch  # type: ignore[assignment,method-assign]
    found = measure(scorer, np.array([[40.0, 0.1, 0.0], [20.0, 2.0, 1.0]]), 4, ticking())
    assert calls == {"one": 5 * 64, "always": 5 * 64, "many": 5}  # one round more, to warm up
    assert [len(values) for values in found.values()] == [4, 4, 4]
    assert read_json(made.path("latency"))["backend"] == "native"


def test_a_bundle_that_answers_otherwise_than_the_trained_model_is_found(
    made: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert timed(made)["served_as_trained"]["verdict"] == "pass"
    assert (made.path("model") / CALIBRATOR).exists()
    whole = Scorer.probabilities

    def rounded(self: Scorer, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raw, probability = whole(self, rows)
        return raw, probability.astype(np.float32).astype(np.float64)

    with monkeypatch.context() as patched:
        patched.setattr(Scorer, "probabilities", rounded)
        found = timed(made)["served_as_trained"]
    assert (found["verdict"], found["blocks"]) == ("fail", True)


def test_nothing_is_left_behind(made: Run) -> None:
    before = {path.name for path in made.directory.iterdir()}
    timed(made)
    assert {path.name for path in made.directory.iterdir()} <= before | {"timed"}
