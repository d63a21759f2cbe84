"""What the joined decisions show: figures, floors, coverage, fairness, concept drift, and their metrics."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from serinus.contract import Contract, Fairness, FairnessMeasure, Protected
from serinus.follow import exactly, matching
from serinus.watching.concept import Concept, ConceptPlan, Validation
from serving.outcomes.cli import read_floors
from serving.outcomes.concept import ConceptWatch
from serving.outcomes.engine import Engine, Settings
from serving.outcomes.http import build_app
from serving.outcomes.measures import Policy
from serving.outcomes.store import Store
from tests.support.bundles import small_contract
from tests.unit.outcomes.lines import DAY, START, decision, feedback, protected


def contract(**changes: Any) -> Contract:
    base = small_contract()
    label = msgspec.structs.replace(base.label, delay="7d")
    return msgspec.structs.replace(base, label=label, **changes)


class World:
    """Logs in a directory, an engine over them, and a clock."""

    def __init__(
        self, path: Path, *, policy: Policy | None = None, concept: bool = False, **changes: Any
    ) -> None:
        self.path, self.now = path, START
        self.contract = contract(**changes)
        self.store = Store(path / "store.sqlite")
        watch = None
        if concept:
            yardstick = Validation(threshold=0.5, loss=0.12, misses=0.3, rows=5000)
            watch = ConceptWatch(self.store, Concept(ConceptPlan(), yardstick), 1, DAY)
        self.engine = Engine(
            Settings(
                model="loans",
                contract=self.contract,
                keep=60 * DAY,
                grace=DAY,
                policy=policy or Policy(min_rows=100, min_bad=10),
            ),
            self.store,
            {
                "decisions": matching(path, "loans-*.jsonl"),
                "feedback": exactly(path / "loans.feedback.jsonl"),
                "labels": exactly(path / "labels.csv"),
                "protected": exactly(path / "protected.jsonl"),
            },
            concept=watch,
            clock=lambda: self.now,
        )

    def write(self, name: str, *lines: bytes) -> None:
        with (self.path / name).open("ab") as file:
            file.writelines(lines)

    def pages(self) -> str:
        while self.engine.read():
            pass
        self.engine.look()
        return TestClient(build_app(self.engine)).get("/metrics").text

    def traffic(
        self,
        count: int,
        bad_if: Callable[[float, random.Random], bool],
        *,
        days: float = 5.0,
        predictor: str = "champion",
        seed: int = 3,
        labelled: float = 1.0,
        first: float = START,
    ) -> None:
        chance = random.Random(seed)
        for i in range(count):
            probability = chance.random()
            name, at = f"{predictor}-{seed}-{i}", first + i * days * DAY / count
            verdict = "decline" if probability >= 0.5 else "approve"
            self.write(
                f"loans-{predictor}.jsonl",
                decision(name, at, predictor=predictor, probability=probability, decision=verdict),
            )
            if chance.random() < labelled:
                self.write(
                    "loans.feedback.jsonl", feedback(name, int(bad_if(probability, chance)), at=at + 7 * DAY)
                )


def calibrated(probability: float, chance: random.Random) -> bool:
    return chance.random() < probability


def series(page: str, name: str, **labels: str) -> float | None:
    for line in page.splitlines():
        if line.startswith(name + "{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
            return float(line.rpartition(" ")[2])
    return None


def test_figures_come_with_intervals_that_hold_the_truth(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.traffic(2000, calibrated)
    page = world.pages()
    # Uniform calibrated probabilities: precision above d is (1 + d) / 2, AUC is 5/6.
    threshold = world.contract.decision.decline_at
    for measure, truth in (("precision", (1 + threshold) / 2), ("auc", 5 / 6), ("bad_rate", 0.5)):
        low = series(page, "serinus_realised_performance_low_ratio", measure=measure, predictor="champion")
        high = series(page, "serinus_realised_performance_high_ratio", measure=measure, predictor="champion")
        assert low is not None
        assert high is not None
        assert low <= truth <= high
        assert high - low < 0.1


@pytest.mark.parametrize(
    ("floor", "below"),
    [({"precision": 0.95}, 1.0), ({"precision": 0.6}, 0.0), ({"calibration_error": 0.2}, 0.0)],
)
def test_a_floor_is_missed_only_by_the_whole_interval(
    tmp_path: Path, floor: dict[str, float], below: float
) -> None:
    world = World(tmp_path, policy=Policy(floors=floor, min_rows=100, min_bad=10))
    world.traffic(1000, calibrated)
    page = world.pages()
    (measure,) = floor
    assert series(page, "serinus_performance_below_floor", measure=measure) == below
    assert series(page, "serinus_performance_floor_ratio", measure=measure) == floor[measure]


def test_too_few_labels_are_no_data_and_show_no_series(tmp_path: Path) -> None:
    world = World(tmp_path, policy=Policy(floors={"precision": 0.95}, min_rows=500))
    world.traffic(300, calibrated)
    page = world.pages()
    assert series(page, "serinus_realised_rows") == 300
    assert series(page, "serinus_realised_performance_ratio") is None
    assert series(page, "serinus_performance_below_floor") is None


def test_coverage_counts_only_decisions_whose_label_is_due(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.traffic(400, calibrated, labelled=0.75)
    world.now = START + 2 * DAY
    assert series(world.pages(), "serinus_label_coverage_ratio") is None
    world.now = START + 30 * DAY
    page = world.pages()
    assert series(page, "serinus_labels_due") == 400
    coverage = series(page, "serinus_label_coverage_ratio")
    assert coverage == pytest.approx(0.75, abs=0.07)


def test_counters_tell_champion_from_canary_for_the_rollouts_guards(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.traffic(200, lambda p, chance: p >= 0.5, predictor="champion")
    world.traffic(200, lambda p, chance: True, predictor="canary", seed=4)
    assert series(world.pages(), "serinus_outcomes_total", predictor="canary", outcome="bad") in (None, 0)
    world.now = START + 30 * DAY
    page = world.pages()
    wrong = {"decision": "approve", "outcome": "bad"}
    assert series(page, "serinus_outcomes_total", predictor="champion", **wrong) == 0
    canary = series(page, "serinus_outcomes_total", predictor="canary", **wrong)
    assert canary is not None
    assert canary > 60


@pytest.mark.parametrize(
    ("bad_if", "worse"),
    [(calibrated, 0.0), (lambda p, chance: chance.random() < 0.5, 1.0)],
)
def test_concept_drift_is_found_from_labels_and_not_imagined(
    tmp_path: Path, bad_if: Callable[[float, random.Random], bool], worse: float
) -> None:
    world = World(tmp_path, concept=True)
    world.contract = contract()
    chance_loss = Validation(threshold=0.5, loss=0.19, misses=0.3, rows=5000)
    world.engine._concept = ConceptWatch(world.store, Concept(ConceptPlan(), chance_loss), 1, DAY)
    world.traffic(3000, bad_if, days=10)
    world.now = START + 30 * DAY
    assert series(world.pages(), "serinus_concept_drift_active", predictor="champion") == worse


def test_concept_evidence_survives_a_restart_and_counts_nothing_twice(tmp_path: Path) -> None:
    world = World(tmp_path, concept=True)
    world.traffic(500, calibrated, days=10)
    world.now = START + 12 * DAY
    world.pages()
    first = world.engine.snapshot().concept["champion"]
    again = World(tmp_path, concept=True)
    again.now = world.now
    again.pages()
    assert again.engine.snapshot().concept["champion"] == first
    assert 150 < first.rows < 350  # four of ten days are due


def test_another_version_than_the_yardsticks_is_not_judged(tmp_path: Path) -> None:
    world = World(tmp_path, concept=True)
    world.write("loans-canary.jsonl", decision("a", predictor="canary", version=2))
    world.write("loans.feedback.jsonl", feedback("a", 1))
    world.now = START + 30 * DAY
    assert series(world.pages(), "serinus_concept_drift_active") is None


FAIRNESS: dict[str, Any] = {
    "protected": (Protected(column="race", reference="white"),),
    "fairness": Fairness(
        jurisdiction="test",
        measures=(FairnessMeasure(measure="adverse_impact_ratio", min=0.8),),
        min_group=50,
    ),
}


@pytest.mark.parametrize(("approved", "breach"), [(0.4, 1.0), (0.9, 0.0)])
def test_unfair_approval_is_found_by_its_whole_interval(
    tmp_path: Path, approved: float, breach: float
) -> None:
    world = World(tmp_path, **FAIRNESS)
    chance = random.Random(1)
    for i in range(600):
        group = "black" if i % 2 else "white"
        share = approved if group == "black" else 0.9
        verdict = "approve" if chance.random() < share else "decline"
        world.write("loans-champion.jsonl", decision(f"r{i}", decision=verdict))
        world.write("protected.jsonl", protected(f"r{i}", race=group, shoe_size=44))
    page = world.pages()
    assert series(page, "serinus_fairness_breach", attribute="race") == breach
    selection = series(page, "serinus_fairness_selection_ratio", attribute="race", group="black")
    assert selection == pytest.approx(approved, abs=0.08)
    assert "shoe_size" not in page


def test_a_small_group_is_no_data(tmp_path: Path) -> None:
    world = World(tmp_path, **FAIRNESS)
    for i in range(200):
        world.write("loans-champion.jsonl", decision(f"r{i}", decision="decline" if i < 10 else "approve"))
        world.write("protected.jsonl", protected(f"r{i}", race="black" if i < 10 else "white"))
    page = world.pages()
    assert series(page, "serinus_fairness_breach") is None
    assert series(page, "serinus_fairness_selection_ratio", group="black") is None


def test_a_csv_of_labels_is_followed_too(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write("loans-champion.jsonl", decision("a"), decision("b"))
    world.write("labels.csv", b"request_id,label,time\n", b"a,1,2026-01-01\n")
    world.pages()
    world.write("labels.csv", b"b,0,2026-01-02\n", b"broken\n")
    world.pages()
    state = world.engine.snapshot()
    assert state.results["joined"] == 2
    assert state.results["unreadable"] == 1


@pytest.mark.parametrize("pair", ["precision", "speed=1", "auc=2", "auc=x", "auc=nan"])
def test_a_floor_that_is_none_is_refused(pair: str) -> None:
    with pytest.raises(Exception, match="SRN-OUTCOMES-003"):
        read_floors([pair])
